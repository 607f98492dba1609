//! The policy language, from text to treatment.

mod language;

mod rules;
mod samples;
