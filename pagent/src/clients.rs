//! Whom the certificates of TLS clients stand for (`ClientAuthType SAFCheck`), and whether those users may use the port.

use std::sync::Arc;

use saf::{Access, Application, Decision, Saf, Userid};
use tracing::{info, warn};
use ttls::KnowsClients;

use crate::configuration::Configuration;
use crate::resources;

/// SAF, asked about clients.
#[derive(Debug)]
pub(crate) struct Clients {
    saf: Arc<Saf>,
    sysname: String,
    image: String,
}

impl Clients {
    pub(crate) fn new(saf: Arc<Saf>, configuration: &Configuration) -> Self {
        Self { saf, sysname: configuration.sysname.clone(), image: configuration.image.clone() }
    }

    /// Whether a user may use a port.
    fn permits(&self, userid: Userid, resource: &str) -> Result<(), String> {
        match self.saf.snapshot().auth(userid, "SERVAUTH", resource, Access::Read) {
            Decision::Permitted(_) => Ok(()),
            Decision::Refused(refusal) => Err(refusal.to_string()),
            Decision::NoDecision(_) if resources::permits_undecided("SERVAUTH", resource) => Ok(()),
            Decision::NoDecision(_) => Err(format!("no profile covers {resource} in class SERVAUTH")),
        }
    }
}

impl KnowsClients for Clients {
    fn user(&self, certificate: &[u8], port: u16, resource: Option<&str>) -> Result<String, String> {
        let names = keyrings::names(certificate)?;
        let application = Application { applid: &self.image, sysid: &self.sysname };
        let today = chrono::Utc::now().date_naive();
        let subject = names.subject.join(".");
        let found = self.saf.snapshot().map_certificate(&names, application, today);
        let found = found.map_err(|why| why.to_string()).and_then(|userid| {
            if let Some(begins) = resource {
                self.permits(userid, &format!("{begins}.PORT{port:05}"))?;
            }
            Ok(userid.to_string())
        });
        match &found {
            Ok(userid) => info!(target: "audit", userid, subject, port, "client certificate accepted"),
            Err(why) => warn!(target: "audit", subject, port, why, "client certificate refused"),
        }
        found.map_err(|why| {
            format!("{why} (subject {subject}, serial {}, issuer {})", names.serial, names.issuer.join("."))
        })
    }
}
