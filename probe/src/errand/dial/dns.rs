//! Questions for name servers: each over UDP and over TCP, since answers that are too long for a datagram need TCP.

use std::time::Instant;

use plumbline_measure::dns::{Answer, Question as Message, Record, Told};
use plumbline_model::{
    errand::{Question, RecordType},
    observation::{Answered, Asking, Dialled, NameSeen, ResponseCode, Unasked},
};

use super::{
    Desk,
    resolver::{NoWord, Server, identity, over_tcp, over_udp},
};

impl Desk<'_> {
    /// Asks each name server that is meant.
    pub(super) async fn question(&self, question: &Question) -> Vec<Dialled> {
        let servers = match question.server {
            Some(server) => vec![Server::from(server)],
            None => self.resolver.servers().to_vec(),
        };
        let mut servers = servers.into_iter();
        // A host has three at most: those that are silent are waited for together.
        let seen = tokio::join!(
            self.server(servers.next(), question),
            self.server(servers.next(), question),
            self.server(servers.next(), question)
        );
        [seen.0, seen.1, seen.2].into_iter().flatten().collect()
    }

    async fn server(&self, server: Option<Server>, question: &Question) -> Option<Dialled> {
        let server = server?;
        let (udp, tcp) = tokio::join!(
            self.ask(server, question, Over::Udp),
            self.ask(server, question, Over::Tcp)
        );
        Some(Dialled::Name(NameSeen {
            server: server.address,
            name: question.name.clone(),
            record: question.record,
            udp,
            tcp,
        }))
    }

    async fn ask(&self, server: Server, question: &Question, over: Over) -> Asking {
        let record = match question.record {
            RecordType::A => Record::A,
            RecordType::Aaaa => Record::Aaaa,
            RecordType::Ptr => Record::Ptr,
        };
        let mut last = Asking::Silent;
        for _ in 0..ATTEMPTS {
            if !self.has_time() {
                return Asking::Unasked { why: Unasked::Time };
            }
            self.pace.wait().await;
            let Ok(message) = Message::new(identity(), &question.name, record) else {
                return Asking::Garbage;
            };
            let asked = Instant::now();
            let answer = match over {
                Over::Udp => over_udp(server, &message).await,
                Over::Tcp => over_tcp(server, &message).await,
            };
            last = match answer {
                Ok(answer) => return Asking::Answered(answered(answer, asked)),
                Err(NoWord::Silent) => Asking::Silent,
                Err(NoWord::Refused) => Asking::Refused,
                Err(NoWord::Unreachable) => Asking::Unreachable,
                Err(NoWord::Garbage) => Asking::Garbage,
            };
        }
        last
    }
}

#[derive(Clone, Copy)]
enum Over {
    Udp,
    Tcp,
}

fn answered(answer: Answer, asked: Instant) -> Answered {
    let told = answer.told.into_iter().map(|told| match told {
        Told::Address(address) => address.to_string(),
        Told::Name(name) => name,
    });
    let mut told: Vec<String> = told.collect();
    told.sort_unstable();
    told.dedup();
    Answered {
        code: match answer.rcode {
            0 => ResponseCode::Ok,
            2 => ResponseCode::ServerFailed,
            3 => ResponseCode::NoSuchName,
            5 => ResponseCode::Refused,
            rcode => ResponseCode::Other { rcode },
        },
        told,
        truncated: answer.truncated,
        took_ms: u32::try_from(asked.elapsed().as_millis()).unwrap_or(u32::MAX),
    }
}

/// How often a server is asked before its silence is believed.
const ATTEMPTS: u32 = 2;
