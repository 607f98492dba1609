//! Answers as tables: text, CSV, JSON, and the rows of a page.

use serde::Serialize;

/// An answer.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Table {
    /// What it answers.
    pub title: String,
    /// The columns' names.
    pub columns: Vec<&'static str>,
    /// The rows, each with a value a column.
    pub rows: Vec<Vec<String>>,
    /// What is to be said about it.
    pub notes: Vec<String>,
}

impl Table {
    /// As text: aligned columns, numbers to the right.
    #[must_use]
    pub fn text(&self) -> Vec<String> {
        let widths: Vec<usize> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, name)| {
                let longest = self.rows.iter().filter_map(|row| row.get(at)).map(|value| value.chars().count()).max();
                longest.unwrap_or(0).max(name.len())
            })
            .collect();
        let is_number: Vec<bool> = (0..self.columns.len())
            .map(|at| {
                let mut values = self.rows.iter().filter_map(|row| row.get(at)).filter(|value| !value.is_empty());
                let mut seen = false;
                values.all(|value| {
                    seen = true;
                    value.bytes().all(|byte| byte.is_ascii_digit())
                }) && seen
            })
            .collect();
        let line = |values: &[&str]| -> String {
            let cells = values.iter().zip(&widths).zip(&is_number).map(|((value, width), number)| match number {
                true => format!("{value:>width$}"),
                false => format!("{value:width$}"),
            });
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut lines = vec![self.title.clone(), line(&self.columns)];
        lines.extend(self.rows.iter().map(|row| line(&row.iter().map(String::as_str).collect::<Vec<_>>())));
        lines.extend(self.notes.iter().cloned());
        lines
    }

    /// As CSV, the columns' names first (RFC 4180).
    ///
    /// # Errors
    ///
    /// What the writer says.
    pub fn csv(&self) -> Result<String, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.columns)?;
        for row in &self.rows {
            writer.write_record(row)?;
        }
        let bytes = writer.into_inner().map_err(|error| error.into_error())?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// As JSON: an object with a list of objects, a row each.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let number = |value: &str| value.parse::<u64>().ok().filter(|number| number.to_string() == value);
        let cell = |value: &String| number(value).map_or_else(|| value.clone().into(), serde_json::Value::from);
        let row = |row: &Vec<String>| -> serde_json::Map<String, serde_json::Value> {
            let names = self.columns.iter().map(|name| name.to_ascii_lowercase().replace([' ', '/'], "_"));
            names.zip(row.iter().map(cell)).collect()
        };
        serde_json::json!({
            "title": self.title,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            title: "PEERS".to_owned(),
            columns: vec!["PEER", "CONNECTIONS"],
            rows: vec![vec!["a, b".to_owned(), "7".to_owned()], vec!["c".to_owned(), "12".to_owned()]],
            notes: vec!["2 peers".to_owned()],
        }
    }

    #[test]
    fn a_table_is_text_csv_and_json() {
        assert_eq!(table().text(), ["PEERS", "PEER  CONNECTIONS", "a, b            7", "c              12", "2 peers"]);
        assert_eq!(table().csv().expect("text"), "PEER,CONNECTIONS\n\"a, b\",7\nc,12\n");
        let json = table().json();
        assert_eq!(json["rows"][1], serde_json::json!({"peer": "c", "connections": 12}));
    }
}
