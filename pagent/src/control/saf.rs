//! What administrators ask of SAF beyond RACF's commands. Those who may list every profile (SPECIAL, AUDITOR, ROAUDIT) may ask
//! everything; everybody may ask about themselves.

use std::collections::BTreeSet;
use std::sync::Arc;

use ::saf::{Access, CommandResult, Finding, Request, Userid};
use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use keyrings::{ReadsRings as _, RingLocation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::info;

use super::{Denied, Peer, Shared, audit, caller};
use crate::daemon::Daemon;

/// A question.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "query", rename_all = "kebab-case")]
pub(crate) enum Query {
    WhoCan { class: String, resource: String, access: String },
    WhatCan { userid: String },
    Explain { userid: String, class: String, resource: String, access: String },
    DryRun { line: String },
    Lint,
    Pending,
    RotateKey,
}

pub(super) async fn ask(
    State(daemon): Shared,
    peer: ConnectInfo<Peer>,
    Json(query): Json<Query>,
) -> Result<Json<Value>, Denied> {
    let asker = caller(&daemon, peer.0)?;
    let about = match &query {
        Query::WhatCan { userid } | Query::Explain { userid, .. } => Some(userid.to_ascii_uppercase()),
        _ => None,
    };
    let snapshot = daemon.saf.snapshot();
    // A command's authority is looked at by the command itself; what it would do tells of other users.
    let own = about.is_some_and(|about| about == asker.as_str());
    if !own && !snapshot.is_auditor(asker) {
        let message = format!("ICH408I USER({asker:8}) IS NOT AUTHORIZED: SPECIAL, AUDITOR OR ROAUDIT IS NEEDED");
        return Err(Denied::new(StatusCode::FORBIDDEN, message));
    }
    answer(&daemon, asker, query).await
}

/// A new envelope key. A caller who goes away does not stop it half-way.
async fn rotate_key(daemon: &Arc<Daemon>, asker: Userid) -> Result<CommandResult, Denied> {
    let failed = |error: &dyn std::fmt::Display| Denied::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let shared = Arc::clone(daemon);
    let rotated = tokio::spawn(async move { shared.keyrings.rotate_key(&asker).await }).await;
    let result = rotated.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    if let Some(record) = &result.record {
        audit::command(daemon, asker, record);
    }
    info!(target: "audit", userid = %asker, code = result.code, "envelope key rotated");
    Ok(result)
}

async fn answer(daemon: &Arc<Daemon>, asker: Userid, query: Query) -> Result<Json<Value>, Denied> {
    let snapshot = daemon.saf.snapshot();
    let failed = |error: ::saf::SafError| Denied::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    Ok(Json(match query {
        Query::WhoCan { class, resource, access } => json!(snapshot.who_can(&class, &resource, level(&access)?)),
        Query::WhatCan { userid } => json!(snapshot.what_can(user(&userid)?)),
        Query::Explain { userid, class, resource, access } => {
            let mut explanation = snapshot.explain(&Request::new(user(&userid)?, &class, &resource, level(&access)?));
            if !snapshot.is_auditor(asker) {
                // Other profiles are nothing that everybody may list.
                explanation.passed_over.clear();
            }
            json!(explanation)
        }
        Query::DryRun { line } => {
            let (result, effects) = daemon.saf.dry_run(asker, &line).await.map_err(failed)?;
            json!({ "result": result, "effects": effects })
        }
        Query::Lint => {
            let mut findings = snapshot.lint();
            findings.extend(lint_rings(daemon).await);
            json!(findings)
        }
        Query::Pending => json!(daemon.saf.pending().await.map_err(failed)?),
        Query::RotateKey => json!({ "result": rotate_key(daemon, asker).await? }),
    }))
}

/// Rings that the installed policy names and that AT-TLS may not read, or not use.
async fn lint_rings(daemon: &Arc<Daemon>) -> Vec<Finding> {
    let policy = daemon.engine.policy();
    let security = policy.ttls.iter().filter_map(|rule| rule.security.as_ref());
    let named: BTreeSet<String> = security.map(|security| security.keyring.clone()).collect();
    let (keyrings, owner) = (Arc::clone(&daemon.keyrings), daemon.configuration.ring_owner.clone());
    let looked = tokio::task::spawn_blocking(move || {
        let named = named.iter().filter_map(|name| RingLocation::resolve(name, &owner).ok());
        let stored = named.filter(|location| location.path().is_none());
        stored.filter_map(|location| keyrings.read(&location, None).err().map(|error| error.to_string())).collect()
    });
    let texts: Vec<String> = looked.await.unwrap_or_default();
    texts.into_iter().map(|text| Finding { rule: "RING", text, mend: None }).collect()
}

fn level(word: &str) -> Result<Access, Denied> {
    word.parse().map_err(|_| {
        let message = format!("`{word}` is no access level; expected READ, UPDATE, CONTROL or ALTER");
        Denied::new(StatusCode::BAD_REQUEST, message)
    })
}

fn user(name: &str) -> Result<Userid, Denied> {
    Userid::parse(name).ok_or_else(|| {
        let message = format!("`{name}` is no user id; expected 1 to 8 characters A-Z 0-9 @ # $");
        Denied::new(StatusCode::BAD_REQUEST, message)
    })
}
