//! How a file is laid out: what the formatter prints, in order.

/// One line of the formatted file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Line {
    /// An empty line.
    Blank,
    /// A comment on a line of its own, without its `#` or `;;`.
    Comment(String),
    /// The first line of a statement; `{` follows.
    Open {
        /// Keyword and name.
        text: String,
        /// The comment behind it.
        comment: Option<String>,
    },
    /// `}`.
    Close {
        /// The comment behind it.
        comment: Option<String>,
    },
    /// A parameter.
    Setting {
        /// Its keyword, as the table spells it.
        keyword: &'static str,
        /// Its value; may be empty.
        value: String,
        /// The comment behind it, or the text after the value that is ignored.
        comment: Option<String>,
    },
    /// A directive, on one line.
    Directive {
        /// Keyword and value.
        text: String,
        /// The comment behind it.
        comment: Option<String>,
    },
    /// A line that is not read (inside an opaque statement), as it is, with its comment.
    Verbatim(String),
}

impl Line {
    /// Adds a comment behind the line; where there is one already, to its end.
    pub(super) fn add_comment(&mut self, text: &str) {
        let (Self::Open { comment, .. }
        | Self::Close { comment }
        | Self::Setting { comment, .. }
        | Self::Directive { comment, .. }) = self
        else {
            return;
        };
        match comment {
            Some(earlier) => {
                earlier.push_str(" #");
                earlier.push_str(text);
            }
            None => *comment = Some(text.to_owned()),
        }
    }
}
