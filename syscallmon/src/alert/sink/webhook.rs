//! One request for each record, to the configured URL.

use std::sync::Arc;

use http::{HeaderMap, header::CONTENT_TYPE};
use tokio_util::sync::CancellationToken;

use super::{Deliver, Peer, Sink, carry};
use crate::alert::{
    AlertConfig, config,
    http::{DeliveryError, Http},
    outbox::Outbox,
    record::Record,
    template::Template,
};

pub(super) struct Webhook {
    http: Http,
    template: Option<Template>,
}

impl Webhook {
    fn new(config: &config::Webhook) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, config.content_type.clone());
        for header in &config.headers {
            headers.insert(header.name.clone(), header.value.clone());
        }
        let http = Http::new(config.url.uri().clone(), config.access.clone(), headers);
        Self { http, template: config.template.clone() }
    }
}

impl Sink for Webhook {
    const NAME: &'static str = "webhook";

    fn configured(config: &AlertConfig) -> Vec<Self> {
        config.webhook.iter().map(Self::new).collect()
    }

    async fn run(self, outbox: Arc<Outbox>, shutdown: CancellationToken) {
        carry(outbox, self, shutdown).await;
    }

    /// `check` only connects, because a webhook may act on any request.
    fn peers(config: &AlertConfig) -> Vec<Peer<'_>> {
        let webhooks = config.webhook.iter();
        webhooks.map(|config| Peer { uri: config.url.uri().clone(), access: &config.access, is_asked: false }).collect()
    }
}

impl Deliver for Webhook {
    async fn deliver(&mut self, record: &Record) -> Result<(), DeliveryError> {
        let body = match &self.template {
            None => record.json(),
            Some(template) => template.render(&serde_json::json!(record)),
        };
        self.http.post(body).await
    }
}
