//! The policy language, from text to treatment.

mod language;

mod samples;
