//! The real programs, driven as their users drive them.

mod author;
mod lsp;
