//! The canonical layout of a policy file: braces on lines of their own, two blanks a level, values of a block in one
//! column, keywords as the table spells them, comments kept. Both dialects become IBM's.
//!
//! The result is read again and compared with what was read first: a formatter that changed what a policy says would
//! give an error, never a file.

use std::sync::Arc;

use crate::diagnostic::{Diagnostic, has_errors};
use crate::source::Source;
use crate::syntax::layout::Line;
use crate::syntax::{Document, parse, parse_with_layout};

/// Values begin at most in this column behind their keyword; longer keywords push their own value only.
const WIDEST: usize = 34;

/// Why a file is not formatted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FormatError {
    /// It cannot be read; the diagnostics say why.
    #[error("the file has errors; nothing was formatted")]
    Broken(Vec<Diagnostic>),
    /// The formatted text would not say the same. This is a mistake of the formatter.
    #[error("the formatted text would not say the same; please report this file")]
    Changed,
}

/// Formats a file.
///
/// # Errors
///
/// [`FormatError::Broken`] when the file has errors of its own; references are not followed.
pub fn format(source: &Arc<Source>) -> Result<String, FormatError> {
    let (document, lines, diagnostics) = parse_with_layout(source);
    if has_errors(&diagnostics) {
        return Err(FormatError::Broken(diagnostics));
    }
    let text = print(&lines);
    let (again, found) = parse(&Source::new(source.name.clone(), text.clone()));
    let same = says_the_same(&document, &again) && !has_errors(&found);
    if same { Ok(text) } else { Err(FormatError::Changed) }
}

/// Whether two files say the same, wherever they say it.
#[must_use]
pub fn says_the_same(a: &Document, b: &Document) -> bool {
    a.blocks.len() == b.blocks.len()
        && a.directives.len() == b.directives.len()
        && a.blocks.iter().zip(&b.blocks).all(|(a, b)| a.says_the_same(b))
        && a.directives
            .iter()
            .zip(&b.directives)
            .all(|(a, b)| std::ptr::eq(a.statement, b.statement) && a.values == b.values)
}

fn print(lines: &[Line]) -> String {
    let mut printer = Printer { text: String::new(), depth: 0, blank: false, opened: false };
    for (at, (line, column)) in lines.iter().zip(columns(lines)).enumerate() {
        match line {
            Line::Blank => printer.blank = true,
            Line::Comment(comment) => printer.line(&hashed(comment)),
            Line::Verbatim(text) => printer.line(text),
            Line::Directive { text, comment } => printer.line(&with_comment(text, comment.as_deref())),
            Line::Open { text, comment } => {
                // Statements of the top level stand apart.
                printer.blank |= printer.depth == 0 && !follows_comment(lines, at);
                printer.line(&with_comment(text, comment.as_deref()));
                printer.line("{");
                printer.depth += 1;
                printer.opened = true;
            }
            Line::Close { comment } => {
                printer.blank = false;
                printer.depth = printer.depth.saturating_sub(1);
                printer.opened = false;
                printer.line(&with_comment("}", comment.as_deref()));
            }
            Line::Setting { keyword, value, comment } => {
                let text = format!("{keyword:column$} {value}");
                printer.line(&with_comment(text.trim_end_matches([' ', '\t']), comment.as_deref()));
            }
        }
    }
    printer.text
}

struct Printer {
    text: String,
    depth: usize,
    /// Whether an empty line comes before the next line.
    blank: bool,
    /// Whether nothing stands in the innermost block yet.
    opened: bool,
}

impl Printer {
    fn line(&mut self, text: &str) {
        if std::mem::take(&mut self.blank) && !self.text.is_empty() && !self.opened {
            self.text.push('\n');
        }
        self.opened = false;
        if !text.is_empty() {
            self.text.push_str(&"  ".repeat(self.depth));
            self.text.push_str(text);
        }
        self.text.push('\n');
    }
}

/// Whether a statement has comments of its own before it: they stay together.
fn follows_comment(lines: &[Line], at: usize) -> bool {
    at.checked_sub(1).and_then(|before| lines.get(before)).is_some_and(|line| matches!(line, Line::Comment(_)))
}

/// For each line that is a parameter, the width of the keywords of its block.
fn columns(lines: &[Line]) -> Vec<usize> {
    let mut widest = vec![0_usize];
    let mut open = vec![0_usize];
    let mut blocks = Vec::with_capacity(lines.len());
    for line in lines {
        let block = open.last().copied().unwrap_or(0);
        blocks.push(block);
        match line {
            Line::Open { .. } => {
                open.push(widest.len());
                widest.push(0);
            }
            Line::Close { .. } => {
                open.pop();
            }
            Line::Setting { keyword, .. } if keyword.len() <= WIDEST => {
                if let Some(width) = widest.get_mut(block) {
                    *width = keyword.len().max(*width);
                }
            }
            _ => {}
        }
    }
    blocks.into_iter().map(|block| widest.get(block).copied().unwrap_or(0)).collect()
}

fn hashed(comment: &str) -> String {
    format!("#{}", comment.trim_end())
}

fn with_comment(text: &str, comment: Option<&str>) -> String {
    match comment {
        Some(comment) => format!("{text}  {}", hashed(comment)),
        None => text.to_owned(),
    }
}
