//! Tables as a page: no script, no picture, no style from elsewhere.

use std::fmt::Write as _;

use crate::table::Table;

const STYLE: &str = "body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#222;background:#fff}\
h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}table{border-collapse:collapse}\
th,td{padding:.2em .8em;text-align:left;border-bottom:1px solid #ddd;vertical-align:top}\
td.n{text-align:right;font-variant-numeric:tabular-nums}p.note{color:#555;margin:.2em 0}\
@media (prefers-color-scheme:dark){body{color:#ddd;background:#181818}th,td{border-color:#444}p.note{color:#aaa}}";
/// Bars of a chart; the rest is in the table.
const BARS: usize = 12;
const WIDTH: u64 = 420;
const ROW: usize = 22;

/// A page of tables, each with a chart of its connections where it counts them.
pub(crate) fn page(title: &str, tables: &[Table]) -> String {
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{0}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<h1>{0}</h1>\n",
        escaped(title)
    );
    for table in tables {
        let _ = writeln!(page, "<h2>{}</h2>", escaped(&table.title));
        page.push_str(&chart(table));
        page.push_str("<table>\n<tr>");
        for name in &table.columns {
            let _ = write!(page, "<th>{}</th>", escaped(name));
        }
        page.push_str("</tr>\n");
        for row in &table.rows {
            page.push_str("<tr>");
            for value in row {
                let number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                let _ = write!(page, "<td{}>{}</td>", if number { " class=\"n\"" } else { "" }, escaped(value));
            }
            page.push_str("</tr>\n");
        }
        page.push_str("</table>\n");
        for note in &table.notes {
            let _ = writeln!(page, "<p class=\"note\">{}</p>", escaped(note));
        }
    }
    page.push_str("</body>\n</html>\n");
    page
}

/// Bars of the column CONNECTIONS, beside what stands before the counted columns.
fn chart(table: &Table) -> String {
    let Some(at) = table.columns.iter().position(|name| *name == "CONNECTIONS") else { return String::new() };
    let labels = table.columns.iter().position(|name| *name == "PEERS").unwrap_or(at);
    let mut bars: Vec<(String, u64)> = table
        .rows
        .iter()
        .filter_map(|row| {
            let label: Vec<&str> =
                row.iter().take(labels).map(String::as_str).filter(|value| !value.is_empty()).collect();
            Some((label.join(" "), row.get(at)?.parse().ok()?))
        })
        .collect();
    bars.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    bars.truncate(BARS);
    let Some(most) = bars.iter().map(|(_, count)| *count).max().filter(|most| *most > 0) else { return String::new() };
    let mut svg = format!(
        "<svg width=\"900\" height=\"{}\" role=\"img\" aria-label=\"{}\">\n",
        bars.len() * ROW,
        escaped(&table.title)
    );
    for (row, (label, count)) in bars.iter().enumerate() {
        let y = row * ROW;
        let width = (count.saturating_mul(WIDTH) / most).max(1);
        let _ = writeln!(
            svg,
            "<rect x=\"0\" y=\"{}\" width=\"{width}\" height=\"{}\" fill=\"#4a7\"/><text x=\"{}\" y=\"{}\" \
             fill=\"currentColor\" font-size=\"12\">{} {}</text>",
            y + 3,
            ROW - 6,
            width + 6,
            y + 15,
            count,
            escaped(label)
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// Names come from peers: nothing of them is markup.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_name_is_markup() {
        let table = Table {
            title: "T".to_owned(),
            columns: vec!["SUBJECT", "CONNECTIONS"],
            rows: vec![vec!["CN=<script>alert('x')</script>\"&".to_owned(), "3".to_owned()]],
            notes: vec!["<b>".to_owned()],
        };
        let page = page("<T>", &[table]);
        assert!(!page.contains("<script") && !page.contains("<b>") && !page.contains("<T>"), "{page}");
        assert_eq!(page.matches("CN=&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;").count(), 2);
    }
}
