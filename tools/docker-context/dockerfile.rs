//! The parts of a Dockerfile that its build context must agree with.

/// An instruction: its keyword and the rest of its line.
pub(crate) type Instruction = (String, String);

/// All instructions in order: continued lines are joined, comments and empty lines are left out.
pub(crate) fn instructions(text: &str) -> Vec<Instruction> {
    let mut joined = String::new();
    let mut instructions = Vec::new();
    for line in
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(start) = line.strip_suffix('\\') {
            joined.push_str(start.trim_end());
            joined.push(' ');
            continue;
        }
        joined.push_str(line);
        if let Some((keyword, rest)) = joined.split_once(char::is_whitespace) {
            instructions.push((keyword.to_uppercase(), rest.trim().to_owned()));
        }
        joined.clear();
    }
    instructions
}

/// The words of an instruction without its flags, such as `--mount=…`.
fn words(rest: &str) -> impl Iterator<Item = &str> {
    rest.split_whitespace().skip_while(|word| word.starts_with("--"))
}

/// The `cargo` commands that `RUN` instructions consist of.
pub(crate) fn cargo_commands(text: &str) -> Vec<String> {
    let runs = instructions(text).into_iter().filter(|(keyword, _)| keyword == "RUN");
    let lines = runs.map(|(_, rest)| words(&rest).collect::<Vec<_>>().join(" "));
    let commands = lines.flat_map(|line| {
        line.split("&&").map(|command| command.trim().to_owned()).collect::<Vec<_>>()
    });
    commands.filter(|command| command.starts_with("cargo ")).collect()
}

/// The paths that `COPY` instructions take from the build context.
pub(crate) fn sources(text: &str) -> Vec<String> {
    let is_copy = |keyword: &str| ["COPY", "ADD"].contains(&keyword);
    let copies = instructions(text).into_iter().filter(|(keyword, _)| is_copy(keyword));
    let from_context = copies.filter(|(_, rest)| !rest.contains("--from="));
    let sources = from_context.flat_map(|(_, rest)| {
        let mut words: Vec<String> = words(&rest).map(str::to_owned).collect();
        // The last word is the destination.
        words.pop();
        words
    });
    sources.collect()
}
