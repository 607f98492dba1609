//! The policy language, from text to treatment.

mod language;
mod messages;
mod rules;
mod samples;
