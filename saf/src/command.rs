//! The RACF commands.
//!
//! Source: *RACF Command Language Reference*; message texts that no readable page confirms are marked in
//! `docs/messages.md`.

mod list;
mod options;
mod parse;
mod profiles;
mod users;

use serde::Serialize;
use sqlx::AnyConnection;

use crate::access::Userid;
use crate::error::SafError;
use crate::snapshot::Snapshot;
use parse::Words;

/// Longest command line.
const MAX_LINE: usize = 4096;

/// What a command answers.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct CommandResult {
    /// 0 done, 4 done with a remark, 8 not done.
    pub code: u8,
    /// What the user sees.
    pub lines: Vec<String>,
}

/// A result, and the classes whose RACLISTed profiles it refreshed.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) result: CommandResult,
    pub(crate) refreshed: Vec<String>,
    /// Whether the database may have changed.
    pub(crate) changed: bool,
}

/// Why a command was not done: its code is 8, its change is rolled back.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The user is told why.
    Message(String),
    /// The database does not answer.
    Database(SafError),
}

impl<E: Into<SafError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

/// A message as a failure.
pub(crate) fn fail<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Message(message.into()))
}

/// What every command works with.
pub(crate) struct Session<'a> {
    pub(crate) connection: &'a mut AnyConnection,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) issuer: &'a Userid,
}

/// Runs one command line.
pub(crate) async fn run(
    connection: &mut AnyConnection,
    snapshot: &Snapshot,
    issuer: &Userid,
    line: &str,
) -> Result<Outcome, SafError> {
    let session = Session { connection, snapshot, issuer };
    match dispatch(session, line).await {
        Ok(outcome) => Ok(outcome),
        Err(Failure::Database(error)) => Err(error),
        Err(Failure::Message(message)) => {
            let lines = message.lines().map(str::to_owned).collect();
            Ok(Outcome { result: CommandResult { code: 8, lines }, ..Outcome::default() })
        }
    }
}

async fn dispatch(session: Session<'_>, line: &str) -> Result<Outcome, Failure> {
    let words = Words::read(line)?;
    if line.len() > MAX_LINE {
        return fail(format!("IKJ56702I INVALID COMMAND, AT MOST {MAX_LINE} CHARACTERS ARE EXPECTED"));
    }
    if !session.snapshot.users.contains_key(session.issuer.as_str()) {
        return fail(format!("ICH409I USER {} IS NOT DEFINED TO RACF", session.issuer));
    }
    match words.verb.as_str() {
        "ADDUSER" | "AU" => users::add_user(session, &words).await,
        "ADDGROUP" | "AG" => users::add_group(session, &words).await,
        "CONNECT" | "CO" => users::connect(session, &words).await,
        "RDEFINE" | "RDEF" => profiles::define(session, &words).await,
        "PERMIT" | "PE" => profiles::permit(session, &words).await,
        "RLIST" | "RL" => list::rlist(session, &words).await,
        "SETROPTS" | "SETR" => options::setropts(session, &words).await,
        verb => fail(format!(
            "IKJ56500I COMMAND {verb} NOT FOUND; known are ADDUSER ADDGROUP CONNECT RDEFINE PERMIT RLIST SETROPTS"
        )),
    }
}

impl Session<'_> {
    pub(crate) fn is_special(&self) -> bool {
        self.snapshot.is_special(self.issuer)
    }

    /// Refuses an issuer who is not SPECIAL.
    pub(crate) fn require_special(&self, message: &str) -> Result<(), Failure> {
        if self.is_special() { Ok(()) } else { fail(message) }
    }

    pub(crate) async fn user_exists(&mut self, userid: &Userid) -> Result<bool, Failure> {
        let query = sqlx::query("SELECT 1 FROM racf_users WHERE userid = $1").bind(userid.as_str());
        Ok(query.fetch_optional(&mut *self.connection).await?.is_some())
    }

    pub(crate) async fn group_exists(&mut self, group: &Userid) -> Result<bool, Failure> {
        let query = sqlx::query("SELECT 1 FROM racf_groups WHERE name = $1").bind(group.as_str());
        Ok(query.fetch_optional(&mut *self.connection).await?.is_some())
    }
}

/// A command that did what it was asked.
pub(crate) fn done(lines: Vec<String>) -> Outcome {
    Outcome { result: CommandResult { code: 0, lines }, refreshed: Vec::new(), changed: true }
}
