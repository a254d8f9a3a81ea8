//! A JSON text as a tree of its own spellings: the whitespace between its tokens alone is left out.

/// A value; strings and numbers with their spelling.
pub(super) enum JsonNode<'t> {
    Scalar(&'t str),
    List(Vec<JsonNode<'t>>),
    Object(Vec<(&'t str, JsonNode<'t>)>),
}

/// The body without its final line break, and the line break.
pub(super) fn split_end(body: &[u8]) -> (&[u8], &[u8]) {
    let bare = body.strip_suffix(b"\n").map_or(body, |bare| bare.strip_suffix(b"\r").unwrap_or(bare));
    body.split_at(bare.len())
}

/// Reads a text that is known to be JSON.
pub(super) fn read(text: &str) -> Option<JsonNode<'_>> {
    JsonReader { text, at: 0 }.value()
}

/// The length of the string literal with which the text begins.
pub(super) fn end_of_string(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        is_end
    });
    end.map_or(text.len(), |end| end + 2)
}

/// A text, and how far it is read.
struct JsonReader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> JsonReader<'t> {
    fn value(&mut self) -> Option<JsonNode<'t>> {
        match self.peek()? {
            '[' => {
                let mut items = Vec::new();
                self.items(']', |reader| reader.value().map(|item| items.push(item)))?;
                Some(JsonNode::List(items))
            }
            '{' => {
                let mut members = Vec::new();
                self.items('}', |reader| {
                    let name = reader.scalar();
                    reader.peek().filter(|letter| *letter == ':')?;
                    reader.at += 1;
                    reader.value().map(|value| members.push((name, value)))
                })?;
                Some(JsonNode::Object(members))
            }
            _scalar => Some(JsonNode::Scalar(self.scalar())),
        }
    }

    /// Reads each item of a list or object, which ends with `end`.
    fn items(&mut self, end: char, mut read: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        while self.peek()? != end {
            read(self)?;
            self.at += usize::from(self.peek()? == ',');
        }
        self.at += 1;
        Some(())
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next letter that is no whitespace.
    fn peek(&mut self) -> Option<char> {
        self.at += self.rest().len() - self.rest().trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.rest().chars().next()
    }

    fn scalar(&mut self) -> &'t str {
        let rest = self.rest();
        let length = if rest.starts_with('"') {
            end_of_string(rest)
        } else {
            rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len())
        };
        self.at += length;
        rest.get(..length).unwrap_or_default()
    }
}
