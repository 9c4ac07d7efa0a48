//! One request for each record, to whoever the configuration names.

use http::{HeaderMap, header::CONTENT_TYPE};

use super::Deliver;
use crate::alert::{
    config,
    http::{Failure, Http},
    record::Record,
    template::Template,
};

pub(super) struct Webhook {
    http: Http,
    template: Option<Template>,
}

impl Webhook {
    pub(super) fn new(config: &config::Webhook) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, config.content_type.clone());
        for header in &config.headers {
            headers.insert(header.name.clone(), header.value.clone());
        }
        let http = Http::new(config.url.uri().clone(), config.access.clone(), headers);
        Self { http, template: config.template.clone() }
    }
}

impl Deliver for Webhook {
    async fn deliver(&mut self, record: &Record) -> Result<(), Failure> {
        let body = match &self.template {
            None => record.json(),
            Some(template) => template.render(&serde_json::json!(record)),
        };
        self.http.post(body).await
    }
}
