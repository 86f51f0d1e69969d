/// The texts of an SVG document, unescaped, in order; fails if its tags do not nest, an attribute is not quoted, an entity is
/// not one of XML's five, or a control character occurs. Understands as much XML as the pictures use.
pub(super) fn texts(svg: &str) -> Result<Vec<String>, String> {
    let mut open: Vec<&str> = Vec::new();
    let mut texts = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        let text = unescape(rest[..start].trim())?;
        if !text.is_empty() {
            texts.push(text);
        }
        let end = rest.find('>').ok_or("a tag does not end")?;
        let tag = rest.get(start + 1..end).ok_or("a > without its <")?;
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name) {
                return Err(format!("</{name}> closes nothing"));
            }
            continue;
        }
        let body = tag.strip_suffix('/').unwrap_or(tag);
        let name = body.split_whitespace().next().ok_or("a tag without a name")?;
        let quoted: Vec<&str> = body.split('"').collect();
        if quoted.len().is_multiple_of(2) {
            return Err(format!("a quote of <{name}> is not closed"));
        }
        for value in quoted.into_iter().skip(1).step_by(2) {
            unescape(value)?;
            if value.contains("NaN") || value.contains("inf") {
                return Err(format!("<{name}> has the attribute value {value}"));
            }
        }
        if !tag.ends_with('/') {
            open.push(name);
        }
    }
    if open.is_empty() && rest.trim().is_empty() { Ok(texts) } else { Err(format!("left open: {open:?}")) }
}

fn unescape(text: &str) -> Result<String, String> {
    if text.chars().any(|c| c.is_control() && c != '\n') {
        return Err(format!("a control character in {text:?}"));
    }
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "\u{1}")];
    let text = plain.into_iter().fold(text.to_owned(), |text, (entity, c)| text.replace(entity, c));
    if text.contains('&') { Err(format!("a bare & in {text}")) } else { Ok(text.replace('\u{1}', "&")) }
}

#[test]
fn finds_faults() {
    assert_eq!(texts("<a x=\"1\"><b/>p &amp;lt; q</a>").unwrap(), ["p &lt; q"]);
    for fault in ["<a>", "<a></b>", "<a x=\"1></a>", "<a>&</a>", "<a x=\"NaN\"/>", "<a>\u{2}</a>"] {
        assert!(texts(fault).is_err(), "{fault}");
    }
}
