//! `pagent lsp` as an editor sees it: messages on standard input and output, and what they do to the text.
//!
//! What may be written where and what words mean is tested in `policies`; here it is asked for over the wire.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// A policy nothing is said about: two rules, one group action, one environment action.
const POLICY: &str = "\
# Two rules share their actions.
TTLSRule WEB
{
  RemotePortRange          443
  Direction                Outbound
  TTLSGroupActionRef       GROUP_ON
  TTLSEnvironmentActionRef ENV_CLIENT
}

TTLSRule MAIL
{
  RemotePortRange          465
  Direction                Outbound
  TTLSGroupActionRef       GROUP_ON
  TTLSEnvironmentActionRef ENV_CLIENT
}

TTLSGroupAction GROUP_ON
{
  TTLSEnabled On
}

TTLSEnvironmentAction ENV_CLIENT
{
  HandshakeRole Client
  TTLSKeyringParms
  {
    Keyring TCPIP/RING
  }
  TTLSCipherParms
  {
    V3CipherSuites4Char 1302C02F
  }
  TTLSEnvironmentAdvancedParms
  {
    TLSv1.2            On
    HostReferenceIdDNS zos.example
    CertificateLabel
  }
}
";

/// In it, up to the beginning of a reference's and of the referred statement's name.
const REFERENCE: &str = "TTLSGroupActionRef       GR";
const DEFINITION: &str = "TTLSGroupAction GR";

/// Where it is said to be; nothing is read from there.
const SITE: &str = "file:///policies/site.policy";

// Numbers of the protocol.
const INVALID_PARAMS: i64 = -32602;
const METHOD_NOT_FOUND: i64 = -32601;
const REQUEST_FAILED: i64 = -32803;
const ERROR: i64 = 1;
const WARNING: i64 = 2;

#[test]
fn the_editor_is_told_what_the_server_can_do() {
    let (_editor, answer) = Editor::introduced(None);
    let capabilities = &answer["capabilities"];
    assert_eq!(capabilities["positionEncoding"], "utf-16");
    assert_eq!(capabilities["textDocumentSync"], 1, "whole documents");
    assert!(capabilities["completionProvider"].is_object());
    assert_eq!(capabilities["renameProvider"]["prepareProvider"], true);
    for provider in ["hover", "definition", "references", "documentFormatting", "codeAction"] {
        assert_eq!(capabilities[format!("{provider}Provider")], true, "{provider}");
    }
}

#[test]
fn an_error_is_shown_where_it_stands_and_vanishes_when_it_is_mended() {
    let mut editor = Editor::new();
    let wrong = POLICY.replacen("  Direction", "  Priority high\n  Direction", 1);
    let found = editor.open(SITE, &wrong);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0]["code"], "PAG0110");
    assert_eq!(found[0]["severity"], ERROR);
    assert_eq!(found[0]["source"], "pagent");
    assert_eq!(found[0]["range"], range((4, 11), (4, 15)));
    assert_eq!(editor.change(SITE, POLICY), Vec::<Value>::new());
    assert_eq!(editor.change(SITE, &wrong), found);
}

#[test]
fn what_can_be_installed_but_deserves_a_look_is_a_warning() {
    let found = Editor::new().open(SITE, "TTLSGroupAction IDLE\n{\n  TTLSEnabled Off\n}\n");
    let [unused] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((&unused["code"], &unused["severity"]), (&json!("PAG0207"), &json!(WARNING)));
}

#[test]
fn columns_count_utf_16_units() {
    let mut editor = Editor::new();
    // The emoji is four bytes, one character and two units.
    let text = "\
# \u{1F600} before everything
TTLSGroupAction \u{1F600}GROUP ignored
{
  TTLSEnabled Off
}
TTLSRule R
{
  LocalPortRange 8080
  Direction Inbound
  TTLSGroupActionRef \u{1F600}GROUP
}
";
    let found = editor.open(SITE, text);
    let [ignored] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((&ignored["code"], &ignored["range"]), (&json!("PAG0202"), &range((1, 24), (1, 31))));
    // And so they do in what the editor asks: the first cursor is behind one code, the second before the other.
    editor.change(SITE, "TTLSCipherParms C\nV3CipherSuites4Char \u{1F600} 1302 1303\n");
    for (column, suite, place) in [
        (27, "TLS_AES_256_GCM_SHA384", range((1, 23), (1, 27))),
        (28, "TLS_CHACHA20_POLY1305_SHA256", range((1, 28), (1, 32))),
    ] {
        let hover = editor.ask_at("hover", SITE, (1, column));
        assert!(text_of(&hover["contents"]["value"]).contains(suite), "{hover}");
        assert_eq!(hover["range"], place);
    }
}

#[test]
fn a_dangling_reference_points_at_the_name_that_was_probably_meant() {
    let mut editor = Editor::new();
    let found = editor.open(SITE, &POLICY.replacen(" GROUP_ON", " GROUP_OM", 1));
    let [dangling] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((&dangling["code"], &dangling["severity"]), (&json!("PAG0112"), &json!(ERROR)));
    assert!(text_of(&dangling["message"]).contains("did you mean `GROUP_ON`?"), "{dangling}");
    let related = &dangling["relatedInformation"][0];
    assert_eq!(related["location"]["uri"], SITE);
    assert_eq!(related["location"]["range"]["start"], position((17, 0)));
    assert!(text_of(&related["message"]).contains("GROUP_ON"), "{related}");
}

#[test]
fn a_closed_document_has_no_diagnostics() {
    let mut editor = Editor::new();
    assert_eq!(editor.open(SITE, "nonsense\n").len(), 1);
    let published = editor.tell("textDocument/didClose", json!({ "textDocument": { "uri": SITE } }));
    assert_eq!(published.get(SITE), Some(&Vec::new()));
}

#[test]
fn statements_are_offered_where_no_block_is_open() {
    let offered = Editor::new().offered("TTLSGroupAction G\n{\n  TTLSEnabled Off\n}\n|");
    for statement in ["TTLSRule", "TTLSGroupAction", "zERTPolicyRule", "TTLSConfig"] {
        assert!(offered.iter().any(|label| label == statement), "{statement}");
    }
    assert!(!offered.iter().any(|label| label == "TTLSEnabled"), "{offered:?}");
}

#[test]
fn a_block_s_own_parameters_are_offered_in_it() {
    let mut editor = Editor::new();
    // The block's end is not written yet, or it is.
    for rest in ["", "\n  }\n}\n"] {
        let advanced = "TTLSEnvironmentAction E\n{\n  TTLSEnvironmentAdvancedParms\n  {\n    |";
        let offered = editor.offered(&format!("{advanced}{rest}"));
        for parameter in ["TLSv1.3", "HandshakeTimeout", "HostReferenceIdDNS"] {
            assert!(offered.iter().any(|label| label == parameter), "{parameter} of {offered:?}");
        }
        for elsewhere in ["HandshakeRole", "Keyring", "TTLSRule"] {
            assert!(!offered.iter().any(|label| label == elsewhere), "{elsewhere}");
        }
    }
}

#[test]
fn values_are_offered_behind_a_parameter() {
    let mut editor = Editor::new();
    assert_eq!(editor.offered("TTLSGroupAction G\n{\n  TTLSEnabled |\n}\n"), ["On", "Off"]);
    let roles = editor.offered("TTLSEnvironmentAction E\n{\n  HandshakeRole |\n}\n");
    assert!(roles.iter().any(|label| label == "ServerWithClientAuth"), "{roles:?}");
}

#[test]
fn cipher_suites_are_offered_by_name_the_negotiable_ones_first() {
    let offered = Editor::new().offered("TTLSCipherParms C\n{\n  V3CipherSuites4Char |\n}\n");
    let at = |name: &str| offered.iter().position(|label| label == name);
    let (modern, never) = (at("TLS_AES_256_GCM_SHA384"), at("TLS_RSA_WITH_RC4_128_SHA"));
    assert!(modern.is_some() && never.is_some() && modern < never, "{modern:?} {never:?}");
}

#[test]
fn a_reference_is_offered_the_names_of_its_statement_and_no_others() {
    let mut editor = Editor::new();
    let text = POLICY.replacen("TTLSGroupActionRef       GROUP_ON", "TTLSGroupActionRef       |", 1);
    assert_eq!(editor.offered(&text), ["GROUP_ON"]);
    let text = POLICY.replacen("TTLSEnvironmentActionRef ENV_CLIENT", "TTLSEnvironmentActionRef ENV|", 1);
    assert_eq!(editor.offered(&text), ["ENV_CLIENT"]);
}

#[test]
fn nothing_is_offered_in_a_comment() {
    let mut editor = Editor::new();
    assert_eq!(editor.offered("# about TTLSR|\n"), [""; 0]);
    assert_eq!(editor.offered("TTLSGroupAction G\n{\n  TTLSEnabled On ;; or O|\n}\n"), [""; 0]);
}

#[test]
fn hovering_says_what_a_parameter_is_for() {
    let mut editor = Editor::new();
    editor.open(SITE, POLICY);
    let hover = editor.ask_at("hover", SITE, behind(POLICY, "    TLSv"));
    assert_eq!(hover["contents"]["kind"], "markdown");
    let said = text_of(&hover["contents"]["value"]);
    assert!(said.starts_with("**TLSv1.2**") && said.contains("Takes On or Off"), "{said}");
    assert_eq!(hover["range"], range((35, 4), (35, 11)));
}

#[test]
fn hovering_names_the_suites_of_a_string_of_codes() {
    let mut editor = Editor::new();
    editor.open(SITE, POLICY);
    let hover = editor.ask_at("hover", SITE, behind(POLICY, "V3CipherSuites4Char 13"));
    let said = text_of(&hover["contents"]["value"]);
    for suite in ["TLS_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"] {
        assert!(said.contains(suite), "{said}");
    }
}

#[test]
fn hovering_over_a_reference_shows_the_statement() {
    let mut editor = Editor::new();
    editor.open(SITE, POLICY);
    let hover = editor.ask_at("hover", SITE, behind(POLICY, REFERENCE));
    let said = text_of(&hover["contents"]["value"]);
    assert!(said.contains("TTLSGroupAction GROUP_ON\n{\n  TTLSEnabled On\n}"), "{said}");
}

#[test]
fn a_reference_leads_to_the_definition() {
    let mut editor = Editor::new();
    editor.open(SITE, POLICY);
    let definition = editor.ask_at("definition", SITE, behind(POLICY, REFERENCE));
    assert_eq!(definition, json!({ "uri": SITE, "range": range((17, 16), (17, 24)) }));
    assert_eq!(editor.ask_at("definition", SITE, behind(POLICY, "RemotePortRange          4")), Value::Null);
}

#[test]
fn references_count_the_declaration_only_when_they_are_asked_to() {
    let mut editor = Editor::new();
    editor.open(SITE, POLICY);
    let mut found = |place, declaration: bool| -> Vec<Value> {
        let mut parameters = at(SITE, place);
        parameters["context"] = json!({ "includeDeclaration": declaration });
        let answer = editor.ask("textDocument/references", parameters);
        let mut lines: Vec<Value> = list(&answer).iter().map(|place| place["range"]["start"]["line"].clone()).collect();
        lines.sort_by_key(Value::as_i64);
        lines
    };
    let (declaration, reference) = (behind(POLICY, DEFINITION), behind(POLICY, REFERENCE));
    for place in [declaration, reference] {
        assert_eq!(found(place, true), [5, 13, 17]);
        assert_eq!(found(place, false), [5, 13]);
    }
}

#[test]
fn renaming_changes_the_definition_and_every_reference() {
    let mut editor = Editor::new();
    editor.open(SITE, POLICY);
    let place = behind(POLICY, REFERENCE);
    assert_eq!(editor.ask_at("prepareRename", SITE, place), range((5, 27), (5, 35)));
    let edit = editor.rename(SITE, place, "ENCRYPTED").expect("a good name");
    let renamed = edited(POLICY, &edit["changes"][SITE]);
    assert_eq!(renamed, POLICY.replace("GROUP_ON", "ENCRYPTED"));
    assert_eq!(editor.change(SITE, &renamed), Vec::<Value>::new());
}

#[test]
fn a_bad_name_is_refused_with_the_reason() {
    let mut editor = Editor::new();
    editor.open(SITE, POLICY);
    let place = behind(POLICY, DEFINITION);
    let (long, longest) = ("N".repeat(33), "N".repeat(32));
    for (name, reason) in [("", "at least one"), ("A B", "no blanks"), (&long, "32 characters"), ("#A", "comment")] {
        let (code, message) = editor.rename(SITE, place, name).expect_err(name);
        assert_eq!(code, INVALID_PARAMS, "{name:?}");
        assert!(message.contains(reason), "{name:?}: {message}");
    }
    assert!(editor.rename(SITE, place, &longest).is_ok());
}

#[test]
fn a_keyword_cannot_be_renamed() {
    let mut editor = Editor::new();
    editor.open(SITE, POLICY);
    let keyword = behind(POLICY, "TTLSGr");
    assert_eq!(editor.ask_at("prepareRename", SITE, keyword), Value::Null);
    assert_eq!(editor.rename(SITE, keyword, "NEW").expect_err("no name stands there").0, INVALID_PARAMS);
}

#[test]
fn formatting_gives_braces_and_then_has_nothing_left_to_do() {
    let mut editor = Editor::new();
    let text = "\
;; how our clients speak
TTLSEnvironmentAction CLIENT
HandshakeRole Client
TTLSCipherParms
V3CipherSuites4Char 1302 1303
TTLSEnvironmentAdvancedParms
TLSv1.3 On
HandshakeCacheTimeout 600 ;; seconds";
    editor.open(SITE, text);
    let formatted = edited(text, &editor.format(SITE).expect("it has no errors"));
    assert_eq!(
        formatted,
        "\
# how our clients speak
TTLSEnvironmentAction CLIENT
{
  HandshakeRole Client
  TTLSCipherParms
  {
    V3CipherSuites4Char 13021303
  }
  TTLSEnvironmentAdvancedParms
  {
    TLSv1.3               On
    HandshakeCacheTimeout 600  # seconds
  }
}
"
    );
    editor.change(SITE, &formatted);
    assert_eq!(editor.format(SITE), Ok(json!([])));
}

#[test]
fn carriage_returns_at_line_ends_are_no_reason_to_format() {
    let mut editor = Editor::new();
    assert_eq!(editor.open(SITE, &POLICY.replace('\n', "\r\n")), Vec::<Value>::new());
    assert_eq!(editor.format(SITE), Ok(json!([])));
}

#[test]
fn a_file_with_errors_is_not_formatted() {
    let mut editor = Editor::new();
    editor.open(SITE, "TTLSRule R\n{\n  Nonsense\n");
    let (code, message) = editor.format(SITE).expect_err("it has errors");
    assert_eq!((code, message.as_str()), (REQUEST_FAILED, "the file has errors; nothing was formatted"));
    editor.assert_answers();
}

#[test]
fn a_misspelt_keyword_can_be_replaced() {
    let mut editor = Editor::new();
    let text = POLICY.replace("TTLSEnabled", "TTLSEnabeld");
    editor.open(SITE, &text);
    let actions = editor.actions(SITE, behind(&text, "TTLSEnabe"));
    let [action] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(action["kind"], "quickfix");
    assert_eq!(action["title"], "Replace by `TTLSEnabled`");
    assert_eq!(action["diagnostics"][0]["code"], "PAG0106");
    let mended = edited(&text, &action["edit"]["changes"][SITE]);
    assert_eq!(mended, POLICY);
    assert_eq!(editor.actions(SITE, (0, 0)), Vec::<Value>::new(), "nothing is wrong there");
}

#[test]
fn a_misspelt_reference_can_be_replaced() {
    let mut editor = Editor::new();
    let text = POLICY.replacen(" GROUP_ON", " GROUP_OM", 1);
    editor.open(SITE, &text);
    let actions = editor.actions(SITE, behind(&text, " GROUP_OM"));
    let [action] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(edited(&text, &action["edit"]["changes"][SITE]), POLICY);
}

#[test]
fn a_reference_leads_into_another_file_of_the_policy() {
    let site = Site::new();
    let mut editor = site.editor();
    assert_eq!(editor.open(&site.stack(), STACK), Vec::<Value>::new());
    let definition = editor.ask_at("definition", &site.stack(), behind(STACK, "Ref SHA"));
    assert_eq!(definition, json!({ "uri": site.uri("common.policy"), "range": range((0, 16), (0, 22)) }));
}

#[test]
fn a_reference_is_offered_the_names_of_other_files() {
    let site = Site::new();
    let mut editor = site.editor();
    let uri = site.stack();
    editor.open(&uri, STACK);
    let answer = editor.ask_at("completion", &uri, behind(STACK, "TTLSGroupActionRef "));
    assert_eq!(labels(&answer), ["SHARED"]);
}

#[test]
fn renaming_edits_every_file_of_the_policy() {
    let site = Site::new();
    let mut editor = site.editor();
    let (stack, common) = (site.stack(), site.uri("common.policy"));
    editor.open(&stack, STACK);
    let edit = editor.rename(&stack, behind(STACK, "Ref SHA"), "CLEAR").expect("a good name");
    assert_eq!(edit["changes"].as_object().map(serde_json::Map::len), Some(2), "{edit}");
    assert_eq!(edited(STACK, &edit["changes"][&stack]), STACK.replace("SHARED", "CLEAR"));
    assert_eq!(edited(COMMON, &edit["changes"][&common]), COMMON.replace("SHARED", "CLEAR"));
}

#[test]
fn unsaved_text_counts_in_the_other_files_too() {
    let site = Site::new();
    let mut editor = site.editor();
    let (stack, common) = (site.stack(), site.uri("common.policy"));
    editor.open(&stack, STACK);
    let published = editor.tell("textDocument/didOpen", opened(&common, &COMMON.replace("SHARED", "OTHER")));
    assert_eq!(codes(&published[&stack]), ["PAG0112"], "the name is gone, in the editor");
    assert_eq!(editor.ask_at("definition", &stack, behind(STACK, "Ref SHA")), Value::Null);
    // Closed without saving, the file is again what it is on the disk.
    let published = editor.tell("textDocument/didClose", json!({ "textDocument": { "uri": common } }));
    assert_eq!(codes(&published[&stack]), [""; 0]);
    assert_ne!(editor.ask_at("definition", &stack, behind(STACK, "Ref SHA")), Value::Null);
}

#[test]
fn the_main_file_counts_as_it_is_in_the_editor() {
    let site = Site::new();
    let mut editor = site.editor();
    let stack = site.stack();
    editor.open(&stack, STACK);
    let without_common = MAIN.replace("CommonTTLSConfig", "# CommonTTLSConfig");
    let published = editor.tell("textDocument/didOpen", opened(&site.uri("pagent.conf"), &without_common));
    assert_eq!(codes(&published[&stack]), ["PAG0112"]);
}

#[test]
fn a_document_outside_the_policy_stands_for_itself() {
    let site = Site::new();
    let mut editor = site.editor();
    assert_eq!(codes(&editor.open(&site.uri("elsewhere.policy"), STACK)), ["PAG0112"]);
}

#[test]
fn an_unknown_request_is_told_so() {
    let mut editor = Editor::new();
    for method in ["textDocument/semanticTokens/full", "no/such/method"] {
        let (code, message) = editor.request(method, json!({})).expect_err(method);
        assert_eq!(code, METHOD_NOT_FOUND);
        assert!(message.contains(method), "{message}");
    }
    editor.assert_answers();
}

#[test]
fn malformed_parameters_are_told_so() {
    let mut editor = Editor::new();
    editor.open(SITE, POLICY);
    let beyond = json!({ "textDocument": { "uri": SITE }, "position": { "line": 4_294_967_296_u64, "character": 0 } });
    for parameters in [Value::Null, json!([]), json!({ "textDocument": SITE }), beyond] {
        let (code, _) = editor.request("textDocument/hover", parameters.clone()).expect_err("malformed");
        assert_eq!(code, INVALID_PARAMS, "{parameters}");
    }
    editor.assert_answers();
}

#[test]
fn a_request_about_a_document_that_is_not_open_is_refused() {
    let mut editor = Editor::new();
    for method in ["hover", "completion", "definition", "prepareRename"] {
        let answer = editor.request(&format!("textDocument/{method}"), at("file:///not/open.policy", (0, 0)));
        assert_eq!(answer.expect_err(method).0, INVALID_PARAMS);
    }
    assert_eq!(editor.format("file:///not/open.policy").expect_err("not open").0, INVALID_PARAMS);
    editor.assert_answers();
}

#[test]
fn positions_outside_the_document_find_nothing() {
    let mut editor = Editor::new();
    editor.open(SITE, POLICY);
    for place in [(u32::MAX, u32::MAX), (u32::MAX, 0), (0, u32::MAX)] {
        assert_eq!(editor.ask_at("hover", SITE, place), Value::Null, "{place:?}");
        assert_eq!(editor.ask_at("definition", SITE, place), Value::Null, "{place:?}");
        editor.ask_at("completion", SITE, place);
        editor.actions(SITE, place);
    }
    editor.assert_answers();
}

#[test]
fn a_position_in_the_middle_of_a_character_does_no_harm() {
    let mut editor = Editor::new();
    editor.open(SITE, "TTLSGroupAction \u{1F600}\n{\n  TTLSEnabled Off\n}\n");
    for method in ["hover", "completion", "definition", "prepareRename"] {
        editor.ask_at(method, SITE, (0, 17));
    }
    editor.assert_answers();
}

#[test]
fn a_line_of_a_megabyte_is_an_error_of_the_file() {
    let mut editor = Editor::new();
    for line in ["x".repeat(1 << 20), "x ".repeat(1 << 19), format!("# {}", "\u{1F600}".repeat(1 << 18))] {
        let found = editor.open(SITE, &format!("{line}\n"));
        assert!(codes(&found).contains(&"PAG0118"), "{:?}", codes(&found));
        for method in ["hover", "completion", "definition"] {
            editor.ask_at(method, SITE, (0, 500_000));
        }
        assert_eq!(editor.format(SITE).expect_err("the line is too long").0, REQUEST_FAILED);
    }
    editor.assert_answers();
}

#[test]
fn a_document_with_nul_bytes_is_no_text() {
    let mut editor = Editor::new();
    let found = editor.open(SITE, "TTLSRule R\0\n{\0\n}\n");
    assert_eq!(codes(&found), ["PAG0117"]);
    assert_eq!(found[0]["range"], range((0, 10), (0, 11)));
    for method in ["hover", "completion", "definition", "prepareRename"] {
        editor.ask_at(method, SITE, (0, 11));
    }
    assert_eq!(editor.format(SITE).expect_err("it is no text").0, REQUEST_FAILED);
    editor.assert_answers();
}

#[test]
fn notifications_that_make_no_sense_are_survived() {
    let mut editor = Editor::new();
    let never_opened = json!({ "uri": "file:///never/opened.policy", "version": 7 });
    let change = json!({ "textDocument": never_opened, "contentChanges": [{ "text": "TTLSRule R\n" }] });
    let no_change = json!({ "textDocument": never_opened, "contentChanges": [] });
    for (method, parameters) in [
        ("textDocument/didChange", change),
        ("textDocument/didChange", no_change),
        ("textDocument/didChange", json!([])),
        ("textDocument/didOpen", json!({ "textDocument": { "uri": "%%%", "languageId": 1 } })),
        ("textDocument/didOpen", Value::Null),
        ("textDocument/didClose", json!({ "textDocument": { "uri": "file:///never/opened.too" } })),
        ("textDocument/didSave", Value::Null),
        ("$/setTrace", json!({ "value": "off" })),
        ("no/such/notification", json!("?")),
    ] {
        editor.tell(method, parameters);
    }
    editor.assert_answers();
}

#[test]
fn shutdown_and_exit_end_the_program_with_success() {
    let mut editor = Editor::new();
    editor.open(SITE, POLICY);
    assert_eq!(editor.ask("shutdown", Value::Null), Value::Null);
    editor.send(&json!({ "jsonrpc": "2.0", "method": "exit" }));
    assert_eq!(editor.ended().code(), Some(0));
    // `exit` alone is an error to the one who waits for the code (LSP, "Exit Notification").
    let mut editor = Editor::new();
    editor.send(&json!({ "jsonrpc": "2.0", "method": "exit" }));
    assert_eq!(editor.ended().code(), Some(1));
}

#[test]
fn the_program_ends_by_itself_when_the_editor_is_gone() {
    let mut editor = Editor::new();
    editor.open(SITE, POLICY);
    editor.hang_up();
    editor.ended();
    // Also when it went before it said anything.
    let mut editor = Editor::start(None);
    editor.hang_up();
    editor.ended();
}

const MAIN: &str = "CommonTTLSConfig common.policy\nTcpImage TCPIP\nTTLSConfig st\u{e4}ck.policy\n";
const COMMON: &str = "TTLSGroupAction SHARED\n{\n  TTLSEnabled Off\n}\n";
const STACK: &str = "\
TTLSRule LOCAL
{
  LocalPortRange 8080
  Direction Inbound
  TTLSGroupActionRef SHARED
}
";

/// A policy of three files on the disk.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, text) in [("pagent.conf", MAIN), ("common.policy", COMMON), ("st\u{e4}ck.policy", STACK)] {
            std::fs::write(folder.path().join(name), text).expect("the folder can be written to");
        }
        Self { folder }
    }

    /// An editor whose server knows the main configuration file.
    fn editor(&self) -> Editor {
        Editor::introduced(Some(&self.folder.path().join("pagent.conf"))).0
    }

    fn stack(&self) -> String {
        self.uri("st%C3%A4ck.policy")
    }

    fn uri(&self, name: &str) -> String {
        let folder = self.folder.path().canonicalize().expect("the folder is there");
        format!("file://{}/{name}", folder.display())
    }
}

/// How long an answer may take; a server that hangs is a failure.
const PATIENCE: Duration = Duration::from_secs(20);

/// The other end of the wire. Threads read and write, so that no test waits for ever.
struct Editor {
    program: Child,
    /// None once the editor has hung up.
    sent: Option<Sender<Vec<u8>>>,
    received: Receiver<Value>,
    requests: i32,
    _configuration: TempDir,
}

impl Editor {
    fn new() -> Self {
        Self::introduced(None).0
    }

    /// The program with the greetings exchanged, and how it introduced itself.
    fn introduced(main: Option<&Path>) -> (Self, Value) {
        let mut editor = Self::start(main);
        let answer = editor.ask("initialize", json!({ "processId": null, "rootUri": null, "capabilities": {} }));
        editor.send(&json!({ "jsonrpc": "2.0", "method": "initialized", "params": {} }));
        (editor, answer)
    }

    fn start(main: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let configuration = folder.path().join("pagent.toml");
        std::fs::write(&configuration, format!("state = \"{}\"\n", folder.path().join("state").display()))
            .expect("the folder can be written to");
        let mut program = Command::new(env!("CARGO_BIN_EXE_pagent"))
            .arg("--config")
            .arg(&configuration)
            .arg("lsp")
            .args(main)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can be started");
        let mut input = program.stdin.take().expect("it is piped");
        let mut output = BufReader::new(program.stdout.take().expect("it is piped"));
        let (sent, to_send) = mpsc::channel::<Vec<u8>>();
        let (receive, received) = mpsc::channel();
        thread::spawn(move || to_send.iter().try_for_each(|message| input.write_all(&message)));
        thread::spawn(move || {
            while let Some(message) = read_message(&mut output) {
                if receive.send(message).is_err() {
                    break;
                }
            }
        });
        Self { program, sent: Some(sent), received, requests: 0, _configuration: folder }
    }

    fn send(&self, message: &Value) {
        let text = message.to_string();
        let frame = format!("Content-Length: {}\r\n\r\n{text}", text.len()).into_bytes();
        self.sent.as_ref().expect("the editor is there").send(frame).expect("the program reads");
    }

    /// Sends a request; gives its result or its error, and everything published before.
    fn exchange(&mut self, method: &str, parameters: Value) -> (Result<Value, (i64, String)>, Published) {
        self.requests += 1;
        let id = json!(self.requests);
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": parameters }));
        let mut published = Published::new();
        loop {
            let message = self.received.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{method}: {error}"));
            if message.get("id") == Some(&id) {
                let refusal = |error: &Value| {
                    let code = part(error, "/code").as_i64().expect("a number");
                    (code, text_of(part(error, "/message")).to_owned())
                };
                let answer =
                    message.get("error").map_or_else(|| Ok(part(&message, "/result").clone()), |e| Err(refusal(e)));
                return (answer, published);
            }
            assert_eq!(part(&message, "/method"), "textDocument/publishDiagnostics", "{message}");
            let diagnostics = list(part(&message, "/params/diagnostics")).to_vec();
            published.insert(text_of(part(&message, "/params/uri")).to_owned(), diagnostics);
        }
    }

    fn request(&mut self, method: &str, parameters: Value) -> Result<Value, (i64, String)> {
        self.exchange(method, parameters).0
    }

    /// A request that is answered.
    fn ask(&mut self, method: &str, parameters: Value) -> Value {
        self.request(method, parameters).unwrap_or_else(|error| panic!("{method}: {error:?}"))
    }

    /// The same about a place.
    fn ask_at(&mut self, method: &str, uri: &str, place: Place) -> Value {
        self.ask(&format!("textDocument/{method}"), at(uri, place))
    }

    /// Sends a notification; gives what is published because of it. The server does one thing after another: when it
    /// has answered a request, it is done with what came before.
    fn tell(&mut self, method: &str, parameters: Value) -> Published {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": parameters }));
        self.exchange("test/done", Value::Null).1
    }

    /// Opens a document; gives its diagnostics.
    fn open(&mut self, uri: &str, text: &str) -> Vec<Value> {
        self.tell("textDocument/didOpen", opened(uri, text)).remove(uri).expect("diagnostics are published")
    }

    /// Changes a document; gives its diagnostics.
    fn change(&mut self, uri: &str, text: &str) -> Vec<Value> {
        let parameters = json!({ "textDocument": { "uri": uri, "version": 2 }, "contentChanges": [{ "text": text }] });
        self.tell("textDocument/didChange", parameters).remove(uri).expect("diagnostics are published")
    }

    /// The words offered at the `|` of a text.
    fn offered(&mut self, text: &str) -> Vec<String> {
        let (before, after) = text.split_once('|').expect("a cursor");
        self.open(SITE, &format!("{before}{after}"));
        labels(&self.ask_at("completion", SITE, end_of(before)))
    }

    fn rename(&mut self, uri: &str, place: Place, name: &str) -> Result<Value, (i64, String)> {
        let document = json!({ "uri": uri });
        let parameters = json!({ "textDocument": document, "position": position(place), "newName": name });
        self.request("textDocument/rename", parameters)
    }

    fn format(&mut self, uri: &str) -> Result<Value, (i64, String)> {
        let options = json!({ "tabSize": 4, "insertSpaces": true });
        self.request("textDocument/formatting", json!({ "textDocument": { "uri": uri }, "options": options }))
    }

    fn actions(&mut self, uri: &str, place: Place) -> Vec<Value> {
        let context = json!({ "diagnostics": [] });
        let parameters = json!({ "textDocument": { "uri": uri }, "range": range(place, place), "context": context });
        list(&self.ask("textDocument/codeAction", parameters)).to_vec()
    }

    /// The server is still there and in its right mind.
    fn assert_answers(&mut self) {
        let found = self.open("file:///policies/still-there.policy", "TTLSRul R\n");
        assert_eq!(codes(&found), ["PAG0105"]);
    }

    /// Closes the program's standard input.
    fn hang_up(&mut self) {
        self.sent = None;
    }

    /// How the program ended.
    fn ended(&mut self) -> ExitStatus {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.program.try_wait().expect("it is our child") {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "the program does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

/// Diagnostics by document.
type Published = HashMap<String, Vec<Value>>;
/// Line and column, both from 0, as the protocol counts them.
type Place = (u32, u32);

/// The next message; none at the end or when what came is none.
fn read_message(output: &mut impl BufRead) -> Option<Value> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            header => length = header.strip_prefix("Content-Length: ").map(str::parse).or(length),
        }
    }
    let mut body = vec![0; length?.ok()?];
    output.read_exact(&mut body).ok()?;
    serde_json::from_slice(&body).ok()
}

fn opened(uri: &str, text: &str) -> Value {
    json!({ "textDocument": { "uri": uri, "languageId": "pagent", "version": 1, "text": text } })
}

fn at(uri: &str, place: Place) -> Value {
    json!({ "textDocument": { "uri": uri }, "position": position(place) })
}

fn position((line, character): Place) -> Value {
    json!({ "line": line, "character": character })
}

fn range(start: Place, end: Place) -> Value {
    json!({ "start": position(start), "end": position(end) })
}

/// The place behind the first `words` of a text.
fn behind(text: &str, words: &str) -> Place {
    let (before, _) = text.split_once(words).unwrap_or_else(|| panic!("no `{words}` there"));
    end_of(&format!("{before}{words}"))
}

fn end_of(text: &str) -> Place {
    let line = text.rsplit('\n').next().unwrap_or_default();
    let number = |count: usize| u32::try_from(count).expect("a short text");
    (number(text.matches('\n').count()), number(line.encode_utf16().count()))
}

/// A text after edits.
fn edited(text: &str, edits: &Value) -> String {
    let offset = |place: &Value| {
        let number =
            |name: &str| usize::try_from(part(place, name).as_u64().expect("a number")).expect("a small number");
        let before: usize = text.split_inclusive('\n').take(number("/line")).map(str::len).sum();
        let line = text.get(before..).expect("a place in the text").encode_utf16().take(number("/character"));
        before + String::from_utf16(&line.collect::<Vec<_>>()).expect("whole characters").len()
    };
    let mut edits: Vec<(usize, usize, &str)> = list(edits)
        .iter()
        .map(|edit| {
            let span = |end: &str| offset(part(edit, end));
            (span("/range/start"), span("/range/end"), text_of(part(edit, "/newText")))
        })
        .collect();
    edits.sort_unstable();
    let mut result = text.to_owned();
    for (start, end, new) in edits.into_iter().rev() {
        result.replace_range(start..end, new);
    }
    result
}

fn codes(diagnostics: &[Value]) -> Vec<&str> {
    diagnostics.iter().map(|diagnostic| text_of(part(diagnostic, "/code"))).collect()
}

fn labels(completions: &Value) -> Vec<String> {
    list(completions).iter().map(|item| text_of(part(item, "/label")).to_owned()).collect()
}

/// What is there under a JSON pointer.
fn part<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}: {value}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
