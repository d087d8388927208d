//! As much of a command line as people send over SSH: words with quotes, `;`, `&&`, `||`, and redirections of output.

/// How a command follows on the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// Whatever came out.
    Always,
    /// If that one worked.
    And,
    /// If that one failed.
    Or,
}

/// One command of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) link: Link,
    pub(super) words: Vec<String>,
    /// Standard output is thrown away.
    pub(super) no_out: bool,
    /// Standard error is thrown away, or goes where standard output goes.
    pub(super) no_err: bool,
    pub(super) err_to_out: bool,
    /// File that standard output is written to.
    pub(super) to_file: Option<String>,
    /// File that standard error is written to.
    pub(super) err_file: Option<String>,
}

impl Command {
    fn new(link: Link) -> Self {
        Self { link, words: Vec::new(), no_out: false, no_err: false, err_to_out: false, to_file: None, err_file: None }
    }
}

/// Splits a line.
///
/// # Errors
/// What the lab's shell does not know, such as pipes.
pub(super) fn parse(line: &str) -> Result<Vec<Command>, String> {
    let mut commands = vec![Command::new(Link::Always)];
    for token in tokens(line)? {
        let Some(command) = commands.last_mut() else { continue };
        match token {
            Token::Word(word) => match word.as_str() {
                ">/dev/null" | "1>/dev/null" => command.no_out = true,
                "2>/dev/null" => command.no_err = true,
                "2>&1" => command.err_to_out = true,
                _ if into_file(&word).is_some() => match into_file(&word) {
                    Some((true, file)) => command.err_file = Some(file),
                    Some((false, file)) => command.to_file = Some(file),
                    None => {}
                },
                "&>/dev/null" => (command.no_out, command.no_err) = (true, true),
                _ => command.words.push(word),
            },
            Token::Quoted(word) => command.words.push(word),
            Token::Link(how) => commands.push(Command::new(how)),
        }
    }
    commands.retain(|command| !command.words.is_empty());
    Ok(commands)
}

/// Whether a redirection is that of standard error, and the file that it goes to.
fn into_file(word: &str) -> Option<(bool, String)> {
    let (stream, file) = word.split_once('>')?;
    let known = matches!(stream, "" | "1" | "2") && file.starts_with('/') && file != "/dev/null";
    known.then(|| (stream == "2", file.to_owned()))
}

enum Token {
    Word(String),
    Quoted(String),
    Link(Link),
}

fn tokens(line: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = line.chars().peekable();
    let mut word: Option<(String, bool)> = None;
    let finish = |open: &mut Option<(String, bool)>, tokens: &mut Vec<Token>| {
        if let Some((text, quoted)) = open.take() {
            tokens.push(if quoted { Token::Quoted(text) } else { Token::Word(text) });
        }
    };
    while let Some(c) = chars.next() {
        let redirecting = word.as_ref().is_some_and(|(text, quoted)| !quoted && (text.ends_with('>') || text.is_empty()));
        match c {
            '\'' | '"' => {
                let text = word.get_or_insert_default();
                text.1 = true;
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => text.0.extend(chars.next()),
                        Some(inner) => text.0.push(inner),
                        None => return Err(format!("unexpected end of file while looking for matching `{c}'")),
                    }
                }
            }
            '\\' => word.get_or_insert_default().0.extend(chars.next()),
            '&' if chars.peek() == Some(&'&') => {
                chars.next();
                finish(&mut word, &mut tokens);
                tokens.push(Token::Link(Link::And));
            }
            '|' if chars.peek() == Some(&'|') => {
                chars.next();
                finish(&mut word, &mut tokens);
                tokens.push(Token::Link(Link::Or));
            }
            ';' | '\n' => {
                finish(&mut word, &mut tokens);
                tokens.push(Token::Link(Link::Always));
            }
            '|' => return Err("pipes are not known to this guest's shell".to_owned()),
            c if c.is_whitespace() && !redirecting => finish(&mut word, &mut tokens),
            c if c.is_whitespace() => {}
            c => word.get_or_insert_default().0.push(c),
        }
    }
    finish(&mut word, &mut tokens);
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_split_as_a_shell_does() {
        let parsed = parse("echo 'a  b' \"c\\\"d\" && true || exit 3; cat x 2>/dev/null").unwrap();
        let words: Vec<_> = parsed.iter().map(|c| (c.link, c.words.join("|"))).collect();
        assert_eq!(
            words,
            [
                (Link::Always, "echo|a  b|c\"d".to_owned()),
                (Link::And, "true".to_owned()),
                (Link::Or, "exit|3".to_owned()),
                (Link::Always, "cat|x".to_owned())
            ]
        );
        assert!(parsed[3].no_err && !parsed[3].no_out);
        assert!(parse("a > /dev/null 2>&1").unwrap()[0].no_out);
        let written = &parse("echo x > /tmp/a 2>&1").unwrap()[0];
        assert_eq!((written.to_file.as_deref(), written.err_to_out, written.words.len()), (Some("/tmp/a"), true, 2));
        let apart = &parse("/bin/bash -c 'echo x' 1> /tmp/out 2> /tmp/err").unwrap()[0];
        assert_eq!((apart.to_file.as_deref(), apart.err_file.as_deref(), apart.words.len()), (Some("/tmp/out"), Some("/tmp/err"), 3));
        assert!(parse("a | b").is_err());
        assert!(parse("echo 'x").is_err());
        assert!(parse("  ").unwrap().is_empty());
    }
}
