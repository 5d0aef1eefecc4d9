//! Before every call: whoever has not enrolled may call Join and nothing else, be it a service that exists or not.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tonic::{
    Status,
    body::Body,
    codegen::http::{Request, Response},
};
use tower::{Layer, Service};

use super::{Shared, connection::Peer};

/// Puts a [`Gate`] before the services.
#[derive(Debug, Clone)]
pub(super) struct GateLayer {
    shared: Arc<Shared>,
}

impl GateLayer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = Gate<S>;

    fn layer(&self, inner: S) -> Gate<S> {
        Gate {
            shared: Arc::clone(&self.shared),
            inner,
        }
    }
}

/// Lets members pass, and others to Join.
#[derive(Debug, Clone)]
pub(super) struct Gate<S> {
    shared: Arc<Shared>,
    inner: S,
}

impl<S> Service<Request<Body>> for Gate<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let peer = request.extensions().get::<Peer>();
        let passes = request.uri().path() == JOIN
            || peer.is_some_and(|peer| {
                let member = self.shared.member(peer).is_some();
                if member {
                    peer.mark_enrolled();
                }
                member
            });
        if passes {
            Box::pin(self.inner.call(request))
        } else {
            let refusal =
                Status::permission_denied("enrol first: this key is nobody's in this run").into_http();
            Box::pin(std::future::ready(Ok(refusal)))
        }
    }
}

const JOIN: &str = "/plumbline.v1.Control/Join";
