//! docs/reference/former-names.md: the renamed keys, values, reasons and metrics.

use hookgate::config::renames::{METRICS, REASONS, RENAMES, Rename};

use super::generated::{assert_page, heading, origin, row};

const INTRODUCTION: &str = "Former names are not accepted. `hookgate check` reports each former key and value of a gateway.yaml, \
                            with the present name.\n";

/// A path with `*` for a name or an index, without `**` for the nesting of schemes.
fn key(rename: &Rename) -> [String; 2] {
    let path = rename.old.replace(".**", "").replace(".*", "");
    let new = rename.new.replace("^.", "");
    match rename.value {
        Some(value) => [format!("`{path}: {value}`"), format!("`{new}`")],
        None => [format!("`{path}`"), format!("`{}`", new.replace(" and ", "` and `"))],
    }
}

fn table(title: &str, rows: impl Iterator<Item = [String; 2]>) -> String {
    let rows: String = rows.map(|cells| row(&cells)).collect();
    format!("\n## {title}\n\n{}{rows}", heading(&["former", "present"]))
}

fn names(names: &[(&str, &str)]) -> impl Iterator<Item = [String; 2]> {
    names.iter().map(|(old, new)| [format!("`{old}`"), format!("`{}`", new.replace(" and ", "`, `"))])
}

#[test]
fn the_page_of_former_names_is_up_to_date() {
    let keys = table("Keys and values", RENAMES.iter().map(key));
    let others = table("Reasons", names(REASONS)) + &table("Metrics", names(METRICS));
    let page = format!("# Former names\n\n{}{INTRODUCTION}{keys}{others}", origin("`src/config/renames.rs`"));
    assert_page("former-names.md", &page);
}
