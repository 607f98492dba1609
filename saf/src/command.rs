//! The RACF commands.
//!
//! Source: *RACF Command Language Reference*; message texts that no readable page confirms are marked in
//! `docs/messages.md`.

mod connects;
mod groups;
mod options;
mod parse;
mod permit;
mod profiles;
mod rlist;
mod row;
mod search;
mod text;
mod users;

use std::collections::BTreeSet;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chrono::{NaiveDate, Utc};
use futures_util::future::BoxFuture;
use serde::Serialize;
use sqlx::AnyConnection;

use crate::access::Userid;
use crate::class::{self, ClassDescriptor};
use crate::error::SafError;
use crate::snapshot::{Snapshot, User};
pub use parse::{Keywords, Words};
pub use row::{Row, Value};

/// Longest command line.
const MAX_LINE: usize = 32_000;

/// Commands, their short forms.
const COMMANDS: &[(&str, &str)] = &[
    ("ADDGROUP", "AG"),
    ("ADDUSER", "AU"),
    ("ALTGROUP", "ALG"),
    ("ALTUSER", "ALU"),
    ("CONNECT", "CO"),
    ("DELGROUP", "DG"),
    ("DELUSER", "DU"),
    ("LISTGRP", "LG"),
    ("LISTUSER", "LU"),
    ("PERMIT", "PE"),
    ("RALTER", "RALT"),
    ("RDEFINE", "RDEF"),
    ("RDELETE", "RDEL"),
    ("REMOVE", "RE"),
    ("RLIST", "RL"),
    ("SEARCH", "SR"),
    ("SETROPTS", "SETR"),
];

/// A command whose processor lies in another crate.
pub trait CommandProcessor: fmt::Debug + Send + Sync {
    /// The command's name, upper case. It has no short form.
    fn name(&self) -> &'static str;

    /// Runs one command line in its transaction; a [`Failure`] undoes what it did.
    fn run<'a>(&'a self, session: &'a mut Session<'_>, words: &'a Words) -> BoxFuture<'a, Result<(), Failure>>;
}

/// The processors of a database.
pub(crate) type Processors = [Arc<dyn CommandProcessor>];

/// What data sets hold that a command names: the caller reads and writes them, by his own rights.
pub type DataSets = HashMap<String, Vec<u8>>;

/// A data set that a command makes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Output {
    /// Its name, as the command has it.
    pub name: String,
    /// What it holds.
    pub content: Vec<u8>,
    /// Whether it is for its owner's eyes only.
    pub secret: bool,
}

/// What a command answers.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct CommandResult {
    /// 0 done, 4 done with a remark, 8 not done.
    pub code: u8,
    /// What the user sees.
    pub lines: Vec<String>,
    /// A data set that the command wants to read: nothing was done, and it is to be tried again with that.
    #[serde(skip)]
    pub wants: Option<String>,
    /// The data sets it makes.
    #[serde(skip)]
    pub outputs: Vec<Output>,
    /// What is to be recorded of it (SMF type 80).
    #[serde(skip)]
    pub record: Option<CommandRecord>,
}

/// A command that is to be recorded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CommandRecord {
    /// Its name.
    pub command: &'static str,
    /// As it is recorded.
    pub text: String,
    /// 0 done, 1 not done for want of authority, 2 done but for some operands.
    pub qualifier: u8,
    /// Why it is recorded: X'80' SETROPTS AUDIT(class), X'40' UAUDIT, X'20' SAUDIT, X'04' always, X'02' CMDVIOL.
    pub reasons: u8,
}

/// What of the database a command changed, or what of it is to count from now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Changes {
    pub(crate) everything: bool,
    /// Users, groups or connects.
    pub(crate) people: bool,
    /// Classes whose profiles changed.
    pub(crate) profiles: BTreeSet<&'static str>,
    /// RACLISTed classes whose profiles count from now.
    pub(crate) refreshed: BTreeSet<&'static str>,
    /// Classes whose entries in the global access table count from now.
    pub(crate) global: BTreeSet<&'static str>,
    /// Options and switches of classes.
    pub(crate) options: bool,
}

impl Changes {
    pub(crate) fn all() -> Self {
        Self { everything: true, people: true, options: true, ..Self::default() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A result, and what changed by it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) result: CommandResult,
    pub(crate) changes: Changes,
    /// Whether operands were left out for want of authority.
    ignored: bool,
}

/// Why a command was not done: its code is 8, its change is rolled back.
#[derive(Debug)]
pub enum Failure {
    /// The user is told why.
    Message(String),
    /// The user is told that an authority is missing.
    Refused(String),
    /// It has to read this data set first.
    Wants(String),
    /// The database does not answer.
    Database(SafError),
}

impl<E: Into<SafError>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Database(error.into())
    }
}

/// A message as a failure.
///
/// # Errors
///
/// Always.
pub fn fail<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Message(message.into()))
}

/// A want of authority as a failure.
///
/// # Errors
///
/// Always.
pub fn refuse<T>(message: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Refused(message.into()))
}

/// What every command works with, and where it puts what it has to say and what it changed.
#[derive(Debug)]
pub struct Session<'a> {
    connection: &'a mut AnyConnection,
    snapshot: &'a Snapshot,
    issuer: Userid,
    inputs: &'a DataSets,
    dry_run: bool,
    outcome: Outcome,
}

/// A command line, and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Command<'a> {
    pub(crate) issuer: Userid,
    pub(crate) line: &'a str,
    pub(crate) inputs: &'a DataSets,
    pub(crate) processors: &'a Processors,
    /// What it does is not to last.
    pub(crate) dry_run: bool,
}

/// Runs one command line.
pub(crate) async fn run(
    connection: &mut AnyConnection,
    snapshot: &Snapshot,
    command: Command<'_>,
) -> Result<Outcome, SafError> {
    let Command { issuer, line, inputs, processors, dry_run } = command;
    let mut session = Session { connection, snapshot, issuer, inputs, dry_run, outcome: Outcome::default() };
    let (message, qualifier) = match dispatch(&mut session, line, processors).await {
        Err(Failure::Database(error)) => return Err(error),
        Err(Failure::Wants(name)) => {
            let result = CommandResult { code: 8, wants: Some(name), ..CommandResult::default() };
            return Ok(Outcome { result, ..Outcome::default() });
        }
        Ok(()) => (None, if session.outcome.ignored { SOME_IGNORED } else { DONE }),
        Err(Failure::Message(message)) => (Some(message), DONE),
        Err(Failure::Refused(message)) => (Some(message), REFUSED),
    };
    let Session { outcome, .. } = session;
    let record = record(snapshot, &command, qualifier, &outcome.changes);
    let Some(message) = message else {
        return Ok(Outcome { result: CommandResult { record, ..outcome.result }, ..outcome });
    };
    let lines = outcome.result.lines.into_iter().chain(message.lines().map(str::to_owned)).collect();
    // What was not done is recorded for want of authority only.
    let record = record.filter(|_| qualifier == REFUSED);
    Ok(Outcome { result: CommandResult { code: 8, lines, record, ..CommandResult::default() }, ..Outcome::default() })
}

/// Event code qualifiers of commands.
const DONE: u8 = 0;
const REFUSED: u8 = 1;
const SOME_IGNORED: u8 = 2;

/// What is to be recorded of a command: what SETROPTS and the user's attributes ask for, and SETROPTS itself always.
fn record(snapshot: &Snapshot, run: &Command<'_>, qualifier: u8, changes: &Changes) -> Option<CommandRecord> {
    let words = Words::read(run.line).ok()?;
    let others = run.processors.iter().map(|processor| processor.name());
    let command = named(&words.verb).or_else(|| others.into_iter().find(|name| *name == words.verb))?;
    let issuer = snapshot.user(run.issuer)?.attributes;
    let is_audited = |class: &&str| snapshot.class(class).is_some_and(|(_, class)| class.switches.audit);
    let reasons = [
        (changes.profiles.iter().any(is_audited), 0x80),
        (issuer.uaudit, 0x40),
        (issuer.special && snapshot.options.saudit, 0x20),
        (command == "SETROPTS", 0x04),
        (qualifier == REFUSED && snapshot.options.cmdviol, 0x02),
    ];
    let reasons = reasons.iter().filter(|(holds, _)| *holds).fold(0, |all, (_, reason)| all | reason);
    (reasons != 0).then(|| CommandRecord { command, text: words.to_string(), qualifier, reasons })
}

/// A command line as it is recorded: what is no part of it left out, passwords hidden.
#[must_use]
pub fn shown(line: &str) -> String {
    match Words::read(line) {
        Ok(words) => words.to_string(),
        Err(_) => {
            let verb: String = line.trim_start().chars().take_while(char::is_ascii_alphanumeric).take(8).collect();
            format!("{verb} (not understood)")
        }
    }
}

/// The command of a verb, in full or short.
fn named(verb: &str) -> Option<&'static str> {
    COMMANDS.iter().find(|(name, short)| verb == *name || verb == *short).map(|(name, _)| *name)
}

async fn dispatch(session: &mut Session<'_>, line: &str, processors: &Processors) -> Result<(), Failure> {
    if line.len() > MAX_LINE {
        return fail(format!("IKJ56702I INVALID COMMAND, AT MOST {MAX_LINE} CHARACTERS ARE EXPECTED"));
    }
    let words = Words::read(line)?;
    let Some(user) = session.snapshot.user(session.issuer) else {
        return fail(format!("ICH409I USER {} IS NOT DEFINED TO RACF", session.issuer));
    };
    if user.revocation.is_in_force(session.today()) || user.attributes.contained {
        return fail(format!("ICH409I USER {} IS REVOKED OR CONTAINED", session.issuer));
    }
    match named(&words.verb) {
        Some("ADDUSER") => users::add(session, &words).await,
        Some("ALTUSER") => users::alter(session, &words).await,
        Some("DELUSER") => users::delete(session, &words).await,
        Some("LISTUSER") => users::list(session, &words).await,
        Some("ADDGROUP") => groups::add(session, &words).await,
        Some("ALTGROUP") => groups::alter(session, &words).await,
        Some("DELGROUP") => groups::delete(session, &words).await,
        Some("LISTGRP") => groups::list(session, &words).await,
        Some("CONNECT") => connects::connect(session, &words).await,
        Some("REMOVE") => connects::remove(session, &words).await,
        Some("RDEFINE") => profiles::define(session, &words).await,
        Some("RALTER") => profiles::alter(session, &words).await,
        Some("RDELETE") => profiles::delete(session, &words).await,
        Some("RLIST") => rlist::rlist(session, &words).await,
        Some("PERMIT") => permit::permit(session, &words).await,
        Some("SEARCH") => search::search(session, &words).await,
        Some("SETROPTS") => options::setropts(session, &words).await,
        _ => match processors.iter().find(|processor| processor.name() == words.verb) {
            Some(processor) => processor.run(session, &words).await,
            None => {
                let others = processors.iter().map(|processor| processor.name());
                let names: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).chain(others).collect();
                fail(format!("IKJ56500I COMMAND {} NOT FOUND; known are {}", words.verb, names.join(" ")))
            }
        },
    }
}

/// What other crates' commands work with.
impl Session<'_> {
    /// The transaction.
    pub fn connection(&mut self) -> &mut AnyConnection {
        self.connection
    }

    /// What decisions are made from.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot {
        self.snapshot
    }

    /// Who runs the command.
    #[must_use]
    pub fn issuer(&self) -> Userid {
        self.issuer
    }

    /// Whether nothing beside the transaction may be changed: it will be undone.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// What a data set holds.
    ///
    /// # Errors
    ///
    /// [`Failure::Wants`] when the caller has not read it yet.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Failure> {
        self.inputs.get(name).cloned().ok_or_else(|| Failure::Wants(name.to_owned()))
    }

    /// Makes a data set, when the command is done.
    pub fn write(&mut self, output: Output) {
        self.outcome.result.outputs.push(output);
    }

    /// Notes that profiles of a class changed; tells whether that counts only after a refresh.
    pub fn changed(&mut self, class: &str) -> bool {
        let Some(class) = class::find(class) else { return false };
        self.outcome.changes.profiles.insert(class.name);
        self.snapshot.switches(class).raclist
    }
}

impl Session<'_> {
    /// Tells the user something.
    pub fn say(&mut self, line: impl Into<String>) {
        self.outcome.result.lines.push(line.into());
    }

    /// Says what was not done, or not as asked, beside the rest, which was: the code is 4.
    pub fn remark(&mut self, line: impl Into<String>) {
        self.outcome.result.code = self.outcome.result.code.max(4);
        self.say(line);
    }

    /// The same, for want of authority.
    fn ignore(&mut self, line: impl Into<String>) {
        self.outcome.ignored = true;
        self.remark(line);
    }

    /// The day.
    #[must_use]
    pub fn today(&self) -> NaiveDate {
        Utc::now().date_naive()
    }

    /// Whether the issuer may administer everything.
    #[must_use]
    pub fn is_special(&self) -> bool {
        self.snapshot.is_special(self.issuer)
    }

    /// The issuer, who is known.
    fn me(&self) -> Option<&User> {
        self.snapshot.user(self.issuer)
    }

    fn has_clauth(&self, class: &str) -> bool {
        self.me().is_some_and(|user| user.clauth.iter().any(|known| known == class))
    }

    fn changed_people(&mut self) {
        self.outcome.changes.people = true;
    }

    /// A class's profiles changed; while it is RACLISTed that does not count before a refresh, and RACF says so.
    fn changed_profiles(&mut self, class: &'static ClassDescriptor, code: &str, what: &str, end: &str) {
        self.outcome.changes.profiles.insert(class.name);
        let line = format!(
            "{code} RACLISTED PROFILES FOR {} WILL NOT REFLECT THE {what} UNTIL A SETROPTS REFRESH IS ISSUED{end}",
            class.name
        );
        if self.snapshot.switches(class).raclist && self.outcome.result.lines.last() != Some(&line) {
            self.say(line);
        }
    }

    /// Whether a user is defined.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub async fn user_exists(&mut self, userid: Userid) -> Result<bool, Failure> {
        let query = sqlx::query("SELECT 1 FROM racf_users WHERE userid = $1").bind(userid.as_str().to_owned());
        Ok(query.fetch_optional(&mut *self.connection).await?.is_some())
    }

    async fn group_exists(&mut self, group: Userid) -> Result<bool, Failure> {
        let query = sqlx::query("SELECT 1 FROM racf_groups WHERE name = $1").bind(group.as_str().to_owned());
        Ok(query.fetch_optional(&mut *self.connection).await?.is_some())
    }

    /// A user or a group, as owners are.
    async fn known(&mut self, name: &str) -> Result<Userid, Failure> {
        let id = text::userid(name)?;
        if self.user_exists(id).await? || self.group_exists(id).await? {
            return Ok(id);
        }
        fail(format!("ICH51003I NAME NOT FOUND IN RACF DATA SET\n{id} IS NEITHER A USER NOR A GROUP"))
    }

    async fn known_group(&mut self, name: &str) -> Result<Userid, Failure> {
        let group = text::userid(name)?;
        if self.group_exists(group).await? {
            return Ok(group);
        }
        fail(format!("ICH51003I NAME NOT FOUND IN RACF DATA SET\nGROUP {group} IS NOT DEFINED"))
    }
}
