//! A connection to a runtime, and calls over it.
//!
//! It is HTTP/2 over a unix socket, with frames by `tonic`. A broken connection is replaced by a new one.

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

/// Maximum bytes of an answer: kubelet's limit (`maxMsgSize` in `k8s.io/cri-client`).
pub(super) const MAX_ANSWER_BYTES: usize = 16 << 20;

/// gRPC's prefix of a message: whether it is compressed, and its length.
const FRAME_BYTES: usize = 5;

/// Versions of the CRI, the preferred one first. containerd serves v1 since 1.6, and CRI-O since 1.20.
const APIS: [&str; 2] = ["runtime.v1", "runtime.v1alpha2"];

/// Sends requests over one connection. Limits the whole answer, because a limit of messages does not limit their
/// number.
type Transport = BoxService<Request<Body>, Response<Limited<Incoming>>, hyper::Error>;

/// A connection to a runtime, and its name.
pub(super) struct Connection {
    rpc: Rpc,
    runtime: Arc<str>,
}

impl Connection {
    /// Connects, and asks for the version of the runtime in each version of the CRI until it knows one.
    ///
    /// # Errors
    ///
    /// When no process listens, or it is not a runtime.
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

    /// Whether the connection is still open.
    pub(super) fn is_open(&self) -> bool {
        !self.rpc.driver.is_finished()
    }

    /// Returns the runtime's name.
    pub(super) fn runtime(&self) -> &Arc<str> {
        &self.runtime
    }

    /// Lists every container except sandboxes, in every state.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub(super) async fn containers(&mut self) -> Result<Vec<Container>, ProviderError> {
        let Containers { containers } = self.rpc.call("RuntimeService", "ListContainers").await?;
        Ok(containers)
    }

    /// Lists every sandbox, in every state.
    ///
    /// # Errors
    ///
    /// When the call fails.
    pub(super) async fn sandboxes(&mut self) -> Result<Vec<Sandbox>, ProviderError> {
        let Sandboxes { items } = self.rpc.call("RuntimeService", "ListPodSandbox").await?;
        Ok(items)
    }

    /// Lists every image; none if images are served elsewhere (kubelet's `imageServiceEndpoint`).
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
    /// Index into `APIS`.
    api: &'static str,
    /// Deadline of a call.
    timeout: Duration,
    /// Transfers bytes. It ends with the connection, and the connection with it.
    driver: AbortOnDropHandle<Result<(), hyper::Error>>,
}

impl Rpc {
    async fn open(socket: &Path, timeout: Duration) -> Result<Self, ProviderError> {
        let stream = connect(socket).await.map_err(ProviderError::Connect)?;
        let (sender, driver) = handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(|error| ProviderError::answer("HTTP/2", &error))?;
        let driver = AbortOnDropHandle::new(tokio::spawn(driver));
        // gRPC's own clients send this host over a unix socket.
        let grpc = Grpc::with_origin(transport(sender), Uri::from_static("http://localhost"))
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        Ok(Self { grpc, api: APIS[0], timeout, driver })
    }

    /// Returns the answer to a call that the runtime must know.
    async fn call<M: Message + Default + 'static>(&mut self, service: &str, method: &str) -> Result<M, ProviderError> {
        self.unary(service, method).await.map_err(|status| self.failure(method, &status))
    }

    /// Returns the answer to a call; `None` if the runtime does not know it.
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

    /// Either side may notice the timeout first, because the request carries the deadline.
    fn failure(&self, method: &str, status: &Status) -> ProviderError {
        match (status.code(), status.source()) {
            (Code::DeadlineExceeded, _) => ProviderError::Timeout(self.timeout),
            (_, Some(source)) => ProviderError::answer(method, source),
            (code, None) => ProviderError::Answer(format!("{method}: {code}: {}", status.message())),
        }
    }
}

/// Encodes requests, and decodes answers within limits.
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
