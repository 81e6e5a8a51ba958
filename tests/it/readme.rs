//! The README's table of settings against the settings.

const README: &str = include_str!("../../README.md");

#[test]
fn the_settings_table_says_what_the_settings_docs_say() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![folder.join("config.rs")];
    files.extend(
        std::fs::read_dir(folder.join("config")).expect("a folder").map(|entry| entry.expect("an entry").path()),
    );
    let mut rows = Vec::new();
    for file in files {
        let source = std::fs::read_to_string(&file).expect("a source file");
        rows.extend(settings(&source));
    }
    assert!(rows.len() > 30, "{rows:#?}");
    let missing: Vec<&str> = rows.iter().map(String::as_str).filter(|row| !README.contains(row)).collect();
    assert!(missing.is_empty(), "README lacks these rows:\n{}", missing.join("\n"));
}

/// The table row of each setting. Its doc comment is `` `full.key`: meaning. Default `value`. ``
fn settings(source: &str) -> Vec<String> {
    let mut rows = Vec::new();
    let mut comment = String::new();
    for line in source.lines() {
        if let Some(text) = line.trim().strip_prefix("///") {
            comment.push_str(text);
            continue;
        }
        let text = std::mem::take(&mut comment);
        let Some((key, meaning)) = text.trim().strip_prefix('`').and_then(|text| text.split_once("`: ")) else {
            continue;
        };
        if key.contains('[') || !key.contains('.') {
            continue;
        }
        let (meaning, default) = match meaning.rsplit_once(" Default ") {
            Some((meaning, default)) => (meaning, default.trim_end_matches('.')),
            None => (meaning, ""),
        };
        rows.push(format!("| `{key}` | {default} | {} |", meaning.trim().trim_end_matches('.')));
    }
    rows
}
