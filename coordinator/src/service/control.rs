//! The two calls: Join and Session.

use std::{
    sync::{Arc, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use plumbline_identity::enrol::{CameFrom, Claim};
use plumbline_proto::{
    PROTOCOL,
    convert::{Join, JoinAccepted},
    limits, v1,
};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{Incoming, OUTBOX_DEPTH, Outbox, SessionId, Shared, connection::Peer, session::Session};
use crate::conductor::LEASE;

/// The service with its limits.
pub(super) fn service(shared: Arc<Shared>) -> v1::control_server::ControlServer<ControlService> {
    v1::control_server::ControlServer::new(ControlService { shared })
        .max_decoding_message_size(limits::MAX_FROM_PROBE_BYTES)
        .max_encoding_message_size(limits::MAX_TO_PROBE_BYTES)
}

/// Answers the calls of probes.
#[derive(Debug)]
pub(super) struct ControlService {
    shared: Arc<Shared>,
}

#[tonic::async_trait]
impl v1::control_server::Control for ControlService {
    async fn join(&self, request: Request<v1::JoinRequest>) -> Result<Response<v1::JoinReply>, Status> {
        let peer = peer(&request)?;
        let wire = request.into_inner();
        // The version comes first: what another one means by its fields is not ours to judge.
        if wire.protocol != PROTOCOL {
            let theirs = wire.protocol;
            return Err(Status::failed_precondition(format!(
                "the probe speaks protocol {theirs}, the coordinator {PROTOCOL}: use probe and coordinator of one version"
            )));
        }
        let join = Join::try_from(wire).map_err(|error| Status::invalid_argument(error.to_string()))?;
        let address = peer.address().ip().to_canonical();
        let admitted = self
            .shared
            .admission
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .admit(
                now_unix_s(),
                CameFrom::Address(address),
                peer.exporter(),
                &peer.tls_key_sha256(),
                &claim(join),
            );
        match admitted {
            Ok(member) => {
                peer.mark_enrolled();
                self.tell(Incoming::Joined(Box::new(member))).await?;
                Ok(Response::new(JoinAccepted { lease: LEASE }.into()))
            }
            Err(refusal) => {
                let reason = refusal.to_string();
                // A stranger must not make the driver's queue grow: what does not fit is only told to him.
                let _ = self.shared.events.try_send(Incoming::NotAdmitted {
                    node: refusal.node(),
                    address,
                    reason: reason.clone(),
                });
                Err(Status::permission_denied(reason))
            }
        }
    }

    type SessionStream = ReceiverStream<Result<v1::ToProbe, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<v1::FromProbe>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let peer = peer(&request)?;
        let member = self
            .shared
            .member(&peer)
            .ok_or_else(|| Status::permission_denied("enrol first: this key is nobody's in this run"))?;
        let (messages, stream) = mpsc::channel(OUTBOX_DEPTH);
        let (open, closed) = oneshot::channel();
        let mut sessions = self
            .shared
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        while sessions.readers.try_join_next().is_some() {}
        sessions.last += 1;
        let session = Session {
            id: SessionId(sessions.last),
            run: self.shared.run.clone(),
            node: member.node,
            key: super::session::signing_key(&member)?,
            events: self.shared.events.clone(),
            answers: messages.clone(),
        };
        let outbox = Outbox {
            messages,
            _open: open,
        };
        sessions
            .readers
            .spawn(session.serve(request.into_inner(), outbox, closed));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl ControlService {
    async fn tell(&self, event: Incoming) -> Result<(), Status> {
        self.shared
            .events
            .send(event)
            .await
            .map_err(|_| Status::unavailable("the run is over"))
    }
}

fn peer<T>(request: &Request<T>) -> Result<Peer, Status> {
    let peer = request.extensions().get::<Peer>().cloned();
    peer.ok_or_else(|| Status::internal("the connection has no peer"))
}

fn claim(join: Join) -> Claim {
    Claim {
        protocol: PROTOCOL,
        run: join.run.to_string(),
        node: join.node.to_string(),
        signing_key: join.signing_key.to_vec(),
        agreement_key: join.agreement_key.to_vec(),
        one_time_signature: join.one_time_signature.to_vec(),
        possession_signature: join.possession_signature.to_vec(),
        addresses: join.addresses,
        data_ipv6: join.data_ipv6,
    }
}

/// Wall time, which join strings expire by. A clock before 1970 counts as 1970.
fn now_unix_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
