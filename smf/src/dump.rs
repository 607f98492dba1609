//! Which records a dump takes: IFASMFDP's control statements.
//!
//! Source: *z/OS MVS System Management Facilities (SMF)*, "Using the SMF dump programs".

use chrono::{NaiveDate, NaiveTime, Timelike as _};
use pest::Parser as _;
use pest::iterators::Pair;

use crate::bytes::Reader;
use crate::time::moment;

#[derive(pest_derive::Parser)]
#[grammar = "ifasmfdp.pest"]
struct Grammar;

/// Subtypes are used.
const SUBTYPES_USED: u8 = 0x40;

/// A dump's control statements.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Dump {
    /// DD names of `INDD`, at least one.
    pub inputs: Vec<String>,
    /// What `OUTDD` says, at least one.
    pub outputs: Vec<Output>,
    dates: Option<(NaiveDate, NaiveDate)>,
    start: Option<NaiveTime>,
    end: Option<NaiveTime>,
    sids: Vec<String>,
}

/// An `OUTDD` statement.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Output {
    /// Its DD name.
    pub name: String,
    kinds: Vec<Kind>,
    /// `NOTYPE`: all but these.
    others: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Kind {
    types: (u16, u16),
    /// Empty: all.
    subtypes: Vec<(u16, u16)>,
}

/// What is wrong with control statements.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DumpError {
    /// They are not written as they should be; the place and what is expected.
    #[error("the control statements are not right:\n{0}")]
    Syntax(String),
    /// A value that cannot be.
    #[error("line {line}: {found} is not right; expected {expected}")]
    Value {
        /// From 1.
        line: usize,
        /// The value.
        found: String,
        /// What would be right.
        expected: &'static str,
    },
}

impl Dump {
    /// Reads control statements, up to a line that is `/*`, if there is one. Without INDD the input is DUMPIN, without OUTDD
    /// everything goes to DUMPOUT.
    ///
    /// # Errors
    ///
    /// When they are not what they should be.
    pub fn parse(text: &str) -> Result<Self, DumpError> {
        let before_end = text.split_inclusive('\n').take_while(|line| line.trim_end() != "/*");
        let (text, after) = text.split_at(before_end.map(str::len).sum());
        let behind = after.lines().skip(1).find(|line| !line.trim().is_empty() && !line.starts_with("//"));
        if let Some(found) = behind {
            let line = text.lines().count() + 2;
            let expected = "nothing but JCL behind the line /*, which ends the statements";
            return Err(DumpError::Value { line, found: found.trim().to_owned(), expected });
        }
        let parsed = Grammar::parse(Rule::statements, text).map_err(|error| {
            let error = error.renamed_rules(|rule| words(*rule).to_owned());
            DumpError::Syntax(error.to_string())
        })?;
        let mut dump = Self::default();
        for statement in parsed.flat_map(Pair::into_inner) {
            dump.take(statement)?;
        }
        if dump.inputs.is_empty() {
            dump.inputs.push("DUMPIN".to_owned());
        }
        if dump.outputs.is_empty() {
            dump.outputs.push(Output { name: "DUMPOUT".to_owned(), kinds: Vec::new(), others: true });
        }
        Ok(dump)
    }

    fn take(&mut self, statement: Pair<'_, Rule>) -> Result<(), DumpError> {
        let rule = statement.as_rule();
        let again = match rule {
            Rule::date => self.dates.is_some(),
            Rule::start => self.start.is_some(),
            Rule::end => self.end.is_some(),
            _ => false,
        };
        if again {
            return Err(wrong(&statement, "DATE, START and END once"));
        }
        let whole = statement.clone();
        let mut inner = parts(statement);
        match rule {
            Rule::indd => {
                for part in inner {
                    match part.as_rule() {
                        Rule::name => {
                            let name = part.as_str().to_ascii_uppercase();
                            if self.inputs.contains(&name) {
                                return Err(wrong(&part, "each INDD once"));
                            }
                            self.inputs.push(name);
                        }
                        _ => options(part)?,
                    }
                }
            }
            Rule::outdd => {
                let mut output = Output { name: String::new(), kinds: Vec::new(), others: true };
                for part in inner {
                    match part.as_rule() {
                        Rule::name => {
                            output.name = part.as_str().to_ascii_uppercase();
                            if self.outputs.iter().any(|other| other.name == output.name) {
                                return Err(wrong(&part, "each OUTDD once"));
                            }
                        }
                        which => {
                            output.others = which == Rule::others;
                            output.kinds = parts(part).map(kind).collect::<Result<_, _>>()?;
                        }
                    }
                }
                self.outputs.push(output);
            }
            Rule::date => {
                let dates = inner.map(day).collect::<Result<Vec<_>, _>>()?;
                self.dates = dates.first().copied().zip(dates.last().copied());
                if self.dates.is_some_and(|(first, last)| first > last) {
                    return Err(wrong(&whole, "the first day, then the last"));
                }
            }
            Rule::start => self.start = inner.next().map(time).transpose()?,
            Rule::end => self.end = inner.next().map(time).transpose()?,
            Rule::sid => self.sids.extend(inner.map(|name| name.as_str().to_ascii_uppercase())),
            _ => {}
        }
        Ok(())
    }

    /// Whether a record, RDW included, goes to an output; none when its header cannot be read.
    #[must_use]
    pub fn selects(&self, output: &Output, record: &[u8]) -> Option<bool> {
        let mut reader = Reader::new(record, 0, "", false);
        reader.skip(4)?;
        let (flags, kind) = (reader.x8("Flags")?, reader.u8("Type")?);
        let (time, date) = (reader.time("Time")?, reader.date("Date")?);
        let sid = reader.text::<4>("SID")?;
        let subtype = if flags & SUBTYPES_USED == 0 {
            None
        } else {
            reader.skip(4)?;
            Some(reader.u16("SubType")?)
        };
        let listed = output.kinds.iter().any(|listed| listed.has(kind.into(), subtype));
        let of_system = self.sids.is_empty() || self.sids.contains(&sid);
        let wanted = (listed != output.others) && of_system;
        if !wanted || (self.dates.is_none() && self.start.is_none() && self.end.is_none()) {
            return Some(wanted);
        }
        let written = moment(date, time)?;
        let in_dates = self.dates.is_none_or(|(first, last)| (first..=last).contains(&written.date()));
        Some(in_dates && self.is_hour(written.time()))
    }

    /// Whether a time lies between START and END, of each day; the minute that END names belongs to it. They may lie around
    /// midnight.
    fn is_hour(&self, time: NaiveTime) -> bool {
        let minute = time.with_second(0).and_then(|time| time.with_nanosecond(0)).unwrap_or(time);
        let from = self.start.is_none_or(|start| minute >= start);
        let until = self.end.is_none_or(|end| minute <= end);
        match (self.start, self.end) {
            (Some(start), Some(end)) if start > end => from || until,
            _ => from && until,
        }
    }
}

impl Kind {
    fn has(&self, kind: u16, subtype: Option<u16>) -> bool {
        let within = |(first, last): &(u16, u16), number: u16| (*first..=*last).contains(&number);
        let of_subtype = |subtype: u16| self.subtypes.iter().any(|range| within(range, subtype));
        within(&self.types, kind) && (self.subtypes.is_empty() || subtype.is_some_and(of_subtype))
    }
}

/// What is inside, but for the parenthesis.
fn parts(pair: Pair<'_, Rule>) -> impl Iterator<Item = Pair<'_, Rule>> {
    pair.into_inner().filter(|part| part.as_rule() != Rule::close)
}

fn words(rule: Rule) -> &'static str {
    match rule {
        Rule::indd => "INDD(ddname,OPTIONS(DUMP))",
        Rule::outdd => "OUTDD(ddname,TYPE(119(11,12)))",
        Rule::date => "DATE(yyyyddd,yyyyddd)",
        Rule::start => "START(hhmm)",
        Rule::end => "END(hhmm)",
        Rule::sid => "SID(name)",
        Rule::options => "OPTIONS(DUMP)",
        Rule::types => "TYPE(types)",
        Rule::others => "NOTYPE(types)",
        Rule::kind | Rule::kinds => "a record type",
        Rule::range => "a number or a range first:last",
        Rule::number => "a number",
        Rule::day => "a day yyyyddd",
        Rule::time => "a time hhmm",
        Rule::name => "a name of 1 to 8 characters",
        Rule::close => ")",
        Rule::EOI => "the end",
        Rule::statements | Rule::statement => "a control statement",
        Rule::WHITESPACE | Rule::COMMENT => "a space",
    }
}

fn wrong(found: &Pair<'_, Rule>, expected: &'static str) -> DumpError {
    DumpError::Value { line: found.as_span().start_pos().line_col().0, found: found.as_str().to_owned(), expected }
}

fn options(options: Pair<'_, Rule>) -> Result<(), DumpError> {
    match parts(options).next() {
        Some(option) if !option.as_str().eq_ignore_ascii_case("DUMP") => {
            Err(wrong(&option, "DUMP: the daemon's dump is moved away, not cleared"))
        }
        _ => Ok(()),
    }
}

fn kind(kind: Pair<'_, Rule>) -> Result<Kind, DumpError> {
    let found = kind.clone();
    let mut ranges = parts(kind).map(range);
    let types = ranges.next().unwrap_or(Ok((0, 255)))?;
    if types.1 > 255 {
        return Err(wrong(&found, "record types from 0 to 255"));
    }
    Ok(Kind { types, subtypes: ranges.collect::<Result<_, _>>()? })
}

fn range(range: Pair<'_, Rule>) -> Result<(u16, u16), DumpError> {
    let found = range.clone();
    let numbers: Vec<Option<u16>> = range.into_inner().map(|number| number.as_str().parse().ok()).collect();
    match numbers.as_slice() {
        [Some(one)] => Ok((*one, *one)),
        [Some(first), Some(last)] if first <= last => Ok((*first, *last)),
        _ => Err(wrong(&found, "a number up to 65535, or a range first:last")),
    }
}

fn day(day: Pair<'_, Rule>) -> Result<NaiveDate, DumpError> {
    let number = day.as_str().parse::<u32>().unwrap_or_default();
    let date = i32::try_from(number / 1000).ok().and_then(|year| NaiveDate::from_yo_opt(year, number % 1000));
    date.ok_or_else(|| wrong(&day, "a year and a day of it, yyyyddd"))
}

fn time(time: Pair<'_, Rule>) -> Result<NaiveTime, DumpError> {
    let number = time.as_str().parse::<u32>().unwrap_or(u32::MAX);
    let found = NaiveTime::from_hms_opt(number / 100, number % 100, 0);
    found.ok_or_else(|| wrong(&time, "hours and minutes, hhmm"))
}
