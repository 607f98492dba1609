//! The language server (LSP 3.17): diagnostics while typing, completion, hover, definition, references, rename, format.
//!
//! One thread, one message after another. A document stands for itself; when the server is told the main configuration
//! file, the files of that policy count together, edited ones as they are in the editor.

mod documents;
mod position;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use lsp_server::{Connection, ErrorCode, ExtractError, Message, Notification, Request, RequestId, Response};
use lsp_types as lsp;
use lsp_types::notification::{self, Notification as _};
use lsp_types::request::{self, Request as _};
use policies::assist::{self, CompletionKind};
use policies::{Severity, format};
use serde_json::Value;

use self::documents::Documents;
use self::position::{offset_at, range_of};
use crate::configuration::Configuration;

/// Serves one editor on standard input and output until it says goodbye.
pub(crate) fn serve(configuration: Configuration, main: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let named = main.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let documents = Documents::new(configuration, main).with_context(|| format!("{named} cannot be read"))?;
    let (connection, threads) = Connection::stdio();
    let capabilities = serde_json::to_value(capabilities())?;
    match connection.initialize(capabilities) {
        Ok(_) => {}
        // The editor went away before it said anything.
        Err(error) if error.channel_is_disconnected() => return Ok(ExitCode::SUCCESS),
        // What the editor sent instead would be a whole document.
        Err(_) => anyhow::bail!("the editor did not begin with the request `initialize` and the note `initialized`"),
    }
    let mut server = Server { connection, documents };
    let code = server.run()?;
    drop(server);
    threads.join().context("standard input or output failed")?;
    Ok(code)
}

fn capabilities() -> lsp::ServerCapabilities {
    lsp::ServerCapabilities {
        position_encoding: Some(lsp::PositionEncodingKind::UTF16),
        text_document_sync: Some(lsp::TextDocumentSyncCapability::Kind(lsp::TextDocumentSyncKind::FULL)),
        completion_provider: Some(lsp::CompletionOptions {
            trigger_characters: Some(vec![" ".to_owned()]),
            ..lsp::CompletionOptions::default()
        }),
        hover_provider: Some(lsp::HoverProviderCapability::Simple(true)),
        definition_provider: Some(lsp::OneOf::Left(true)),
        references_provider: Some(lsp::OneOf::Left(true)),
        rename_provider: Some(lsp::OneOf::Right(lsp::RenameOptions {
            prepare_provider: Some(true),
            work_done_progress_options: lsp::WorkDoneProgressOptions::default(),
        })),
        document_formatting_provider: Some(lsp::OneOf::Left(true)),
        code_action_provider: Some(lsp::CodeActionProviderCapability::Simple(true)),
        ..lsp::ServerCapabilities::default()
    }
}

struct Server {
    connection: Connection,
    documents: Documents,
}

/// Why a request was not answered: what the editor shows.
struct Refusal(ErrorCode, String);

impl Server {
    fn run(&mut self) -> anyhow::Result<ExitCode> {
        while let Ok(message) = self.connection.receiver.recv() {
            match message {
                Message::Request(request) => {
                    match self.connection.handle_shutdown(&request) {
                        Ok(false) => {}
                        // Between shutdown and exit nothing else is to be said; whatever came, the end is here.
                        Ok(true) | Err(_) => return Ok(ExitCode::SUCCESS),
                    }
                    let response = self.answer(request);
                    self.connection.sender.send(Message::Response(response))?;
                }
                Message::Notification(notification) if notification.method == notification::Exit::METHOD => {
                    // LSP, "Exit Notification": the exit code is 1 when no shutdown was asked for.
                    return Ok(ExitCode::FAILURE);
                }
                Message::Notification(notification) => self.note(notification)?,
                Message::Response(_) => {} // nothing was asked
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn answer(&self, request: Request) -> Response {
        let id = request.id.clone();
        let result = match request.method.as_str() {
            request::Completion::METHOD => with(request, |parameters| self.complete(&parameters)),
            request::HoverRequest::METHOD => with(request, |parameters| self.hover(&parameters)),
            request::GotoDefinition::METHOD => with(request, |parameters| self.definition(&parameters)),
            request::References::METHOD => with(request, |parameters| self.references(&parameters)),
            request::PrepareRenameRequest::METHOD => with(request, |parameters| self.prepare_rename(&parameters)),
            request::Rename::METHOD => with(request, |parameters| self.rename(&parameters)),
            request::Formatting::METHOD => with(request, |parameters| self.format(&parameters)),
            request::CodeActionRequest::METHOD => with(request, |parameters| self.code_actions(&parameters)),
            other => Err(Refusal(ErrorCode::MethodNotFound, format!("`{other}` is not supported"))),
        };
        respond(id, result)
    }

    fn note(&mut self, notification: Notification) -> anyhow::Result<()> {
        // A notification that cannot be read has nobody to tell.
        match notification.method.as_str() {
            notification::DidOpenTextDocument::METHOD => {
                if let Ok(opened) = serde_json::from_value::<lsp::DidOpenTextDocumentParams>(notification.params) {
                    self.documents.open(opened.text_document.uri, opened.text_document.text);
                }
            }
            notification::DidChangeTextDocument::METHOD => {
                if let Ok(changed) = serde_json::from_value::<lsp::DidChangeTextDocumentParams>(notification.params)
                    && let Some(change) = changed.content_changes.into_iter().next_back()
                {
                    self.documents.open(changed.text_document.uri, change.text);
                }
            }
            notification::DidCloseTextDocument::METHOD => {
                if let Ok(closed) = serde_json::from_value::<lsp::DidCloseTextDocumentParams>(notification.params) {
                    self.documents.close(&closed.text_document.uri);
                    self.publish(closed.text_document.uri, Vec::new())?;
                }
            }
            notification::DidSaveTextDocument::METHOD => self.documents.read_again(),
            _ => return Ok(()),
        }
        for (uri, diagnostics) in self.documents.diagnostics() {
            self.publish(uri, diagnostics)?;
        }
        Ok(())
    }

    fn publish(&self, uri: lsp::Uri, diagnostics: Vec<lsp::Diagnostic>) -> anyhow::Result<()> {
        let parameters = lsp::PublishDiagnosticsParams { uri, diagnostics, version: None };
        let notification = Notification::new(notification::PublishDiagnostics::METHOD.to_owned(), parameters);
        self.connection.sender.send(Message::Notification(notification))?;
        Ok(())
    }

    fn complete(&self, parameters: &lsp::CompletionParams) -> Result<Value, Refusal> {
        let (documents, offset) = self.place(&parameters.text_document_position)?;
        let typed = documents.first().map(|document| range_of(&document.source, assist::typed(document, offset)));
        let items: Vec<lsp::CompletionItem> = assist::complete(&documents, offset)
            .into_iter()
            .map(|found| lsp::CompletionItem {
                text_edit: typed
                    .map(|range| lsp::CompletionTextEdit::Edit(lsp::TextEdit { range, new_text: found.label.clone() })),
                label: found.label,
                kind: Some(match found.kind {
                    CompletionKind::Statement => lsp::CompletionItemKind::CLASS,
                    CompletionKind::Parameter => lsp::CompletionItemKind::PROPERTY,
                    CompletionKind::Value => lsp::CompletionItemKind::VALUE,
                    CompletionKind::Name => lsp::CompletionItemKind::REFERENCE,
                }),
                detail: (!found.detail.is_empty()).then_some(found.detail),
                documentation: (!found.doc.is_empty()).then(|| lsp::Documentation::MarkupContent(markdown(found.doc))),
                ..lsp::CompletionItem::default()
            })
            .collect();
        json(items)
    }

    fn hover(&self, parameters: &lsp::HoverParams) -> Result<Value, Refusal> {
        let (documents, offset) = self.place(&parameters.text_document_position_params)?;
        let source = documents.first().map(|document| &document.source);
        let found = assist::hover(&documents, offset).zip(source).map(|((text, span), source)| lsp::Hover {
            contents: lsp::HoverContents::Markup(markdown(text)),
            range: Some(range_of(source, span)),
        });
        json(found)
    }

    fn definition(&self, parameters: &lsp::GotoDefinitionParams) -> Result<Value, Refusal> {
        let (documents, offset) = self.place(&parameters.text_document_position_params)?;
        json(assist::definition(&documents, offset).and_then(|origin| self.documents.location(&origin)))
    }

    fn references(&self, parameters: &lsp::ReferenceParams) -> Result<Value, Refusal> {
        let (documents, offset) = self.place(&parameters.text_document_position)?;
        let found = assist::references(&documents, offset, parameters.context.include_declaration);
        json(found.iter().filter_map(|origin| self.documents.location(origin)).collect::<Vec<_>>())
    }

    fn prepare_rename(&self, parameters: &lsp::TextDocumentPositionParams) -> Result<Value, Refusal> {
        let (documents, offset) = self.place(parameters)?;
        let source = documents.first().map(|document| &document.source);
        json(assist::renameable(&documents, offset).zip(source).map(|(span, source)| range_of(source, span)))
    }

    fn rename(&self, parameters: &lsp::RenameParams) -> Result<Value, Refusal> {
        let name = parameters.new_name.as_str();
        if let Some(reason) = assist::bad_name(name) {
            return Err(Refusal(ErrorCode::InvalidParams, reason.to_owned()));
        }
        let (documents, offset) = self.place(&parameters.text_document_position)?;
        if assist::is_taken(&documents, offset, name) {
            let message = format!("another statement of this kind is named `{name}`");
            return Err(Refusal(ErrorCode::InvalidParams, message));
        }
        let places = assist::references(&documents, offset, true);
        #[allow(clippy::mutable_key_type, reason = "lsp-types' own map; nothing changes its keys")]
        let mut changes: HashMap<lsp::Uri, Vec<lsp::TextEdit>> = HashMap::new();
        for location in places.iter().filter_map(|origin| self.documents.location(origin)) {
            let edit = lsp::TextEdit { range: location.range, new_text: name.to_owned() };
            changes.entry(location.uri).or_default().push(edit);
        }
        if changes.is_empty() {
            return Err(Refusal(ErrorCode::InvalidParams, "no statement's name stands here".to_owned()));
        }
        json(lsp::WorkspaceEdit { changes: Some(changes), ..lsp::WorkspaceEdit::default() })
    }

    fn format(&self, parameters: &lsp::DocumentFormattingParams) -> Result<Value, Refusal> {
        let source = &self.documents.document(&parameters.text_document.uri).ok_or_else(not_open)?.source;
        let text = format::format(source).map_err(|error| Refusal(ErrorCode::RequestFailed, error.to_string()))?;
        let end = policies::Span { start: 0, end: source.text.len() };
        let edits = if text == source.text {
            Vec::new()
        } else {
            vec![lsp::TextEdit { range: range_of(source, end), new_text: text }]
        };
        json(edits)
    }

    /// What the diagnostics at a place offer to mend.
    fn code_actions(&self, parameters: &lsp::CodeActionParams) -> Result<Value, Refusal> {
        let uri = &parameters.text_document.uri;
        let source = &self.documents.document(uri).ok_or_else(not_open)?.source;
        let only = parameters.context.only.as_deref();
        if only.is_some_and(|only| {
            !only.iter().any(|kind| kind.as_str().is_empty() || *kind == lsp::CodeActionKind::QUICKFIX)
        }) {
            return json(Vec::<lsp::CodeAction>::new());
        }
        let actions: Vec<lsp::CodeAction> = self
            .documents
            .fixes(uri)
            .into_iter()
            .filter(|(diagnostic, _)| {
                diagnostic.range.start <= parameters.range.end && parameters.range.start <= diagnostic.range.end
            })
            .map(|(diagnostic, fix)| {
                let edit = lsp::TextEdit { range: range_of(source, fix.span), new_text: fix.text.clone() };
                #[allow(clippy::mutable_key_type, reason = "lsp-types' own map; nothing changes its keys")]
                let changes = HashMap::from([(uri.clone(), vec![edit])]);
                lsp::CodeAction {
                    title: format!("Replace by `{}`", fix.text),
                    kind: Some(lsp::CodeActionKind::QUICKFIX),
                    diagnostics: Some(vec![diagnostic]),
                    edit: Some(lsp::WorkspaceEdit { changes: Some(changes), ..lsp::WorkspaceEdit::default() }),
                    ..lsp::CodeAction::default()
                }
            })
            .collect();
        json(actions)
    }

    /// The documents of a position, its own first, and the byte offset.
    fn place(&self, position: &lsp::TextDocumentPositionParams) -> Result<(Vec<&policies::Document>, usize), Refusal> {
        let uri = &position.text_document.uri;
        let document = self.documents.document(uri).ok_or_else(not_open)?;
        Ok((self.documents.with(uri), offset_at(&document.source, position.position)))
    }
}

fn not_open() -> Refusal {
    Refusal(ErrorCode::InvalidParams, "the document is not open".to_owned())
}

fn markdown(value: String) -> lsp::MarkupContent {
    lsp::MarkupContent { kind: lsp::MarkupKind::Markdown, value }
}

fn json(value: impl serde::Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| Refusal(ErrorCode::InternalError, error.to_string()))
}

/// Reads a request's parameters and answers it.
fn with<P: serde::de::DeserializeOwned>(
    request: Request,
    answer: impl FnOnce(P) -> Result<Value, Refusal>,
) -> Result<Value, Refusal> {
    let method = request.method.clone();
    match request.extract::<P>(&method) {
        Ok((_, parameters)) => answer(parameters),
        Err(ExtractError::JsonError { error, .. }) => Err(Refusal(ErrorCode::InvalidParams, error.to_string())),
        Err(ExtractError::MethodMismatch(_)) => Err(Refusal(ErrorCode::InternalError, "another method".to_owned())),
    }
}

fn respond(id: RequestId, result: Result<Value, Refusal>) -> Response {
    match result {
        Ok(value) => Response::new_ok(id, value),
        Err(Refusal(code, message)) => Response::new_err(id, code as i32, message),
    }
}

/// The editor's severity of ours.
fn severity(severity: Severity) -> lsp::DiagnosticSeverity {
    match severity {
        Severity::Error => lsp::DiagnosticSeverity::ERROR,
        Severity::Warning => lsp::DiagnosticSeverity::WARNING,
        Severity::Note => lsp::DiagnosticSeverity::INFORMATION,
    }
}
