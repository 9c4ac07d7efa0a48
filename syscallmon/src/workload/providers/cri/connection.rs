//! A connection to a runtime, and the calls that are made over it.
//!
//! It is HTTP/2 over a unix socket; `tonic` frames what goes through. A connection is not mended: it is opened anew.

use std::{error::Error, marker::PhantomData, path::Path, sync::Arc, time::Duration};

use http_body_util::Limited;
use hyper::{
    Request, Response, Uri,
    body::{Buf, Incoming},
    client::conn::http2::{SendRequest, handshake},
    http::uri::PathAndQuery,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio_util::task::AbortOnDropHandle;
use tonic::{
    Code, Status,
    body::Body,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder},
};
use tonic_prost::ProstEncoder;
use tower::{service_fn, util::BoxService};

use super::messages::{Container, Containers, Image, Images, Sandbox, Sandboxes, Version, decode};
use crate::workload::{
    metadata::text,
    providers::{ProviderError, socket::connect},
};

/// The longest answer, in bytes: what kubelet takes (`maxMsgSize` in `k8s.io/cri-client`).
pub(super) const MAX_ANSWER_BYTES: usize = 16 << 20;

/// What gRPC puts before a message: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;

/// The versions of the CRI, the preferred one first. v1 is served since containerd 1.6 and CRI-O 1.20.
const APIS: [&str; 2] = ["runtime.v1", "runtime.v1alpha2"];

/// Sends requests over one connection. All of an answer is limited, as a message's limit does not limit their number.
type Transport = BoxService<Request<Body>, Response<Limited<Incoming>>, hyper::Error>;

/// A connection to a runtime, and its name.
pub(super) struct Connection {
    rpc: Rpc,
    runtime: Arc<str>,
}

impl Connection {
    /// Connects, and asks who is there in each version of the CRI until one is understood.
    ///
    /// # Errors
    ///
    /// When nobody listens, or who does is no runtime.
    pub(super) async fn open(socket: &Path, timeout: Duration) -> Result<Self, ProviderError> {
        let mut rpc = Rpc::open(socket, timeout).await?;
        for api in APIS {
            rpc.api = api;
            if let Some(Version { runtime_name }) = rpc.call_if_served("RuntimeService", "Version").await? {
                return Ok(Self { rpc, runtime: text(&runtime_name).unwrap_or_else(|| "unknown".into()) });
            }
        }
        Err(ProviderError::Absent("this socket does not serve CRI: enable the plugin `cri` of containerd".into()))
    }

    /// Whether the other side has not closed it.
    pub(super) fn is_open(&self) -> bool {
        !self.rpc.driver.is_finished()
    }

    /// The runtime's name, as it says.
    pub(super) fn runtime(&self) -> &Arc<str> {
        &self.runtime
    }

    /// Every container but those that hold pods, in every state.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub(super) async fn containers(&mut self) -> Result<Vec<Container>, ProviderError> {
        let Containers { containers } = self.rpc.call("RuntimeService", "ListContainers").await?;
        Ok(containers)
    }

    /// Every sandbox, in every state.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub(super) async fn sandboxes(&mut self) -> Result<Vec<Sandbox>, ProviderError> {
        let Sandboxes { items } = self.rpc.call("RuntimeService", "ListPodSandbox").await?;
        Ok(items)
    }

    /// Every image; none where images are served elsewhere (kubelet's `imageServiceEndpoint`).
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub(super) async fn images(&mut self) -> Result<Vec<Image>, ProviderError> {
        let answer: Option<Images> = self.rpc.call_if_served("ImageService", "ListImages").await?;
        Ok(answer.map(|Images { images }| images).unwrap_or_default())
    }
}

/// Calls without arguments.
struct Rpc {
    grpc: Grpc<Transport>,
    /// Which of `APIS` is spoken.
    api: &'static str,
    /// Of one call.
    timeout: Duration,
    /// What moves bytes. It ends with the connection, and the connection with it.
    driver: AbortOnDropHandle<Result<(), hyper::Error>>,
}

impl Rpc {
    async fn open(socket: &Path, timeout: Duration) -> Result<Self, ProviderError> {
        let stream = connect(socket).await.map_err(ProviderError::Connect)?;
        let (sender, driver) = handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| ProviderError::answer("HTTP/2", &error))?;
        let driver = AbortOnDropHandle::new(tokio::spawn(driver));
        // What gRPC's own clients send as the host, over a unix socket.
        let grpc = Grpc::with_origin(transport(sender), Uri::from_static("http://localhost"))
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        Ok(Self { grpc, api: APIS[0], timeout, driver })
    }

    /// The answer to a call, which the runtime must know.
    async fn call<M: Message + Default + 'static>(&mut self, service: &str, method: &str) -> Result<M, ProviderError> {
        self.unary(service, method).await.map_err(|status| self.failure(method, &status))
    }

    /// The answer to a call; `None` when the runtime does not know it.
    async fn call_if_served<M: Message + Default + 'static>(
        &mut self,
        service: &str,
        method: &str,
    ) -> Result<Option<M>, ProviderError> {
        match self.unary(service, method).await {
            Ok(answer) => Ok(Some(answer)),
            Err(status) if status.code() == Code::Unimplemented => Ok(None),
            Err(status) => Err(self.failure(method, &status)),
        }
    }

    async fn unary<M: Message + Default + 'static>(&mut self, service: &str, method: &str) -> Result<M, Status> {
        let path = PathAndQuery::try_from(format!("/{}.{service}/{method}", self.api))
            .map_err(|error| Status::internal(error.to_string()))?;
        let mut request = tonic::Request::new(());
        request.set_timeout(self.timeout);
        let answer = async {
            self.grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
            self.grpc.unary(request, path, Messages(PhantomData)).await
        };
        let answer = tokio::time::timeout(self.timeout, answer).await;
        answer.unwrap_or_else(|_| Err(Status::deadline_exceeded(""))).map(tonic::Response::into_inner)
    }

    /// Either side may notice first that it takes too long: the request carries the deadline.
    fn failure(&self, method: &str, status: &Status) -> ProviderError {
        match (status.code(), status.source()) {
            (Code::DeadlineExceeded, _) => ProviderError::Timeout(self.timeout),
            (_, Some(source)) => ProviderError::answer(method, source),
            (code, None) => ProviderError::Answer(format!("{method}: {code}: {}", status.message())),
        }
    }
}

/// Encodes requests, and decodes answers that are not too much.
struct Messages<M>(PhantomData<M>);

impl<M: Message + Default + 'static> Codec for Messages<M> {
    type Encode = ();
    type Decode = M;
    type Encoder = ProstEncoder<()>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Self {
        Self(PhantomData)
    }
}

impl<M: Message + Default> Decoder for Messages<M> {
    type Item = M;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<M>, Status> {
        let answer = buffer.copy_to_bytes(buffer.remaining());
        decode(&answer).map(Some)
    }
}

fn transport(mut sender: SendRequest<Body>) -> Transport {
    BoxService::new(service_fn(move |request| {
        let answer = sender.send_request(request);
        async { Ok(answer.await?.map(|body| Limited::new(body, MAX_ANSWER_BYTES + FRAME_BYTES))) }
    }))
}
