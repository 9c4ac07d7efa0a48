//! One request for each record, to the configured URL.

use std::sync::Arc;

use http::{HeaderMap, header::CONTENT_TYPE};
use tokio_util::sync::CancellationToken;

use super::{DeliverOne, Peer, Sink, deliver_one_by_one};
use crate::alert::{
    AlertConfig, WebhookConfig,
    http::{DeliveryError, Http},
    outbox::Outbox,
    record::Record,
    template::Template,
};

pub(super) struct WebhookSink {
    http: Http,
    template: Option<Template>,
}

impl WebhookSink {
    fn new(config: &WebhookConfig) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, config.content_type.clone());
        for header in &config.headers {
            headers.insert(header.name.clone(), header.value.clone());
        }
        let http = Http::new(config.url.uri().clone(), config.client_config.clone(), headers);
        Self { http, template: config.template.clone() }
    }
}

impl Sink for WebhookSink {
    const NAME: &'static str = "webhook";

    fn configured(config: &AlertConfig) -> Vec<Self> {
        config.webhook.iter().map(Self::new).collect()
    }

    async fn run(self, outbox: Arc<Outbox>, shutdown: CancellationToken) {
        deliver_one_by_one(outbox, self, shutdown).await;
    }

    /// `check` only connects, because a webhook may act on any request.
    fn peers(config: &AlertConfig) -> Vec<Peer<'_>> {
        let Some(WebhookConfig { url, client_config, .. }) = &config.webhook else { return Vec::new() };
        vec![Peer { uri: url.uri().clone(), client_config, has_readiness_page: false }]
    }
}

impl DeliverOne for WebhookSink {
    async fn deliver(&mut self, record: &Record) -> Result<(), DeliveryError> {
        let json = record.json();
        let body = match &self.template {
            None => json,
            // The fields of the bounded record.
            Some(template) => template.render(&serde_json::from_str(&json).expect("a record is JSON")),
        };
        self.http.post(body).await
    }
}
