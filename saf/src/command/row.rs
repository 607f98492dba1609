//! Columns that a command sets, as SQL that both databases take.

use std::fmt::Write as _;

use chrono::NaiveDate;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::Failure;
use crate::access::{Access, Userid};
use crate::load::DATE;

/// A value for a column.
#[derive(Clone, Debug)]
pub enum Value {
    /// Text, or NULL.
    Text(Option<String>),
    /// A number, or NULL.
    Number(Option<i64>),
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Number(Some(i64::from(flag)))
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(Some(number))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Userid> for Value {
    fn from(id: Userid) -> Self {
        id.as_str().into()
    }
}

impl From<Access> for Value {
    fn from(access: Access) -> Self {
        access.name().into()
    }
}

impl From<Option<NaiveDate>> for Value {
    fn from(date: Option<NaiveDate>) -> Self {
        Self::Text(date.map(|date| date.format(DATE).to_string()))
    }
}

impl From<Option<Access>> for Value {
    fn from(access: Option<Access>) -> Self {
        Self::Text(access.map(|access| access.name().to_owned()))
    }
}

/// Columns with their new values. Names of tables and columns are ours, values are bound.
#[derive(Clone, Debug, Default)]
pub struct Row(Vec<(&'static str, Value)>);

impl Row {
    /// Sets a column.
    pub fn set(&mut self, column: &'static str, value: impl Into<Value>) {
        self.0.retain(|(known, _)| *known != column);
        self.0.push((column, value.into()));
    }

    /// The same, to go on with.
    #[must_use]
    pub fn with(mut self, column: &'static str, value: impl Into<Value>) -> Self {
        self.set(column, value);
        self
    }

    /// The same without a column.
    #[must_use]
    pub fn without(mut self, column: &str) -> Self {
        self.0.retain(|(known, _)| *known != column);
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// When the database does not answer, or a constraint of the schema is broken.
    pub async fn insert(&self, connection: &mut AnyConnection, table: &'static str) -> Result<(), Failure> {
        let columns: Vec<&str> = self.0.iter().map(|(column, _)| *column).collect();
        let places: Vec<String> = (1..=columns.len()).map(|number| format!("${number}")).collect();
        let text = format!("INSERT INTO {table} ({}) VALUES ({})", columns.join(", "), places.join(", "));
        run(connection, text, self.0.iter().map(|(_, value)| value)).await?;
        Ok(())
    }

    /// Changes the rows with this key, and says how many there were.
    ///
    /// # Errors
    ///
    /// When the database does not answer, or a constraint of the schema is broken.
    pub async fn update(
        &self,
        connection: &mut AnyConnection,
        table: &'static str,
        key: &Self,
    ) -> Result<u64, Failure> {
        if self.is_empty() {
            return Ok(0);
        }
        let mut text = format!("UPDATE {table} SET ");
        for (number, (column, _)) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { ", " };
            let _ = write!(text, "{separator}{column} = ${}", number + 1);
        }
        key.condition(&mut text, self.0.len());
        run(connection, text, self.0.iter().chain(&key.0).map(|(_, value)| value)).await
    }

    /// Removes the rows with this key, and says how many there were.
    ///
    /// # Errors
    ///
    /// When the database does not answer, or a constraint of the schema is broken.
    pub async fn delete(&self, connection: &mut AnyConnection, table: &'static str) -> Result<u64, Failure> {
        let mut text = format!("DELETE FROM {table}");
        self.condition(&mut text, 0);
        run(connection, text, self.0.iter().map(|(_, value)| value)).await
    }

    /// The rows with this key.
    ///
    /// # Errors
    ///
    /// When the database does not answer, or a constraint of the schema is broken.
    pub async fn select(
        &self,
        connection: &mut AnyConnection,
        table: &'static str,
        order: &'static str,
    ) -> Result<Vec<sqlx::any::AnyRow>, Failure> {
        let mut text = format!("SELECT * FROM {table}");
        self.condition(&mut text, 0);
        let _ = write!(text, " ORDER BY {order}");
        let query = sqlx::query(AssertSqlSafe(text));
        let query = self.0.iter().fold(query, |query, (_, value)| match value {
            Value::Text(text) => query.bind(text.clone()),
            Value::Number(number) => query.bind(*number),
        });
        Ok(query.fetch_all(connection).await?)
    }

    fn condition(&self, text: &mut String, before: usize) {
        for (number, (column, _)) in self.0.iter().enumerate() {
            let word = if number == 0 { "WHERE" } else { "AND" };
            let _ = write!(text, " {word} {column} = ${}", before + number + 1);
        }
    }
}

async fn run<'v>(
    connection: &mut AnyConnection,
    text: String,
    values: impl Iterator<Item = &'v Value>,
) -> Result<u64, Failure> {
    let query = values.fold(sqlx::query(AssertSqlSafe(text)), |query, value| match value {
        Value::Text(text) => query.bind(text.clone()),
        Value::Number(number) => query.bind(*number),
    });
    Ok(query.execute(connection).await?.rows_affected())
}
