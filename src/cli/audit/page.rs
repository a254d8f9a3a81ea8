//! Generates docs/reference/audit-rules.md from rules.yaml: a table with a row for each rule, and a section on each.

use super::catalogue::{RULES, Rule};

/// The page docs/reference/audit-rules.md, after its title and its first sentence.
pub fn markdown() -> String {
    let rows = RULES.iter().map(|rule| {
        format!(
            "| [`{0}`](#{0}) | {1} | {2}{3} | {4} |\n",
            rule.id,
            rule.severity.word(),
            rule.needs.word(),
            rule.option.as_ref().map(|option| format!(", `{option}`")).unwrap_or_default(),
            rule.title
        )
    });
    let table: String = rows.collect();
    let sections: String = RULES.iter().map(section).collect();
    let names = "In the fixes SECRET is the secret, RAW the bytes of the body, GIVEN the signature in the request and EXPECTED the one \
                 that is calculated over the text that the provider signs (in Ruby `raw`, `given`, `expected`); KEY is the public \
                 key of the issuer ISS, AUD the audience. A fragment for hookgate has keys of a route, unless it begins with a \
                 key of the top level.\n\n";
    format!("{names}| rule | severity | needs | weakness |\n|---|---|---|---|\n{table}{sections}")
}

fn section(rule: &Rule) -> String {
    let fix = |name: &str, language: &str, text: &str| {
        let is_code = text.ends_with('\n');
        if is_code { format!("\n{name}:\n\n```{language}\n{text}```\n") } else { format!("\n{name}: {text}\n") }
    };
    let sources: Vec<String> = rule.source.iter().map(|url| format!("<{url}>")).collect();
    format!(
        "\n## {}\n\n{}. {}\n\n{}\n{}{}{}{}\nSources: {}\n",
        rule.id,
        rule.title,
        rule.why,
        rule.mappings.words().join(" · "),
        fix("hookgate", "text", &rule.fix.hookgate),
        fix("FastAPI", "python", &rule.fix.fastapi),
        fix("Express", "js", &rule.fix.express),
        fix("Rails", "ruby", &rule.fix.rails),
        sources.join(", "),
    )
}
