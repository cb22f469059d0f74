//! The help of every command, as a terminal of 80 and of 120 columns shows it.

use docent_tests::program::Docent;

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");

/// The help of a command, and then that of the commands it lists.
fn help(docent: &Docent, command: &[&str], all: &mut String) {
    let text = docent.run(command.iter().chain(&["--help"])).expect(0).stdout;
    // Blank lines within an option's help are indented.
    let text = text.lines().map(|line| format!("{}\n", line.trim_end())).collect::<String>();
    all.push_str(&format!("$ docent {}\n\n{text}\n", [command, &["--help"]].concat().join(" ")));
    let listed = text.lines().skip_while(|line| *line != "Commands:").skip(1);
    // Names are indented by two columns, what goes on from the line before by more.
    let names = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    for name in names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        help(docent, &[command, &[name]].concat(), all);
    }
}

#[test]
fn help_fits_the_terminal_and_is_as_it_was_read() {
    for columns in [80, 120] {
        let docent = Docent::new(PROGRAM).with_variable("COLUMNS", columns.to_string());
        let mut all = String::new();
        help(&docent, &[], &mut all);
        assert!(all.matches("$ docent ").count() > 25, "commands are missing:\n{all}");
        for line in all.lines() {
            assert!(line.chars().count() <= columns, "longer than {columns} columns: {line}");
        }
        insta::assert_snapshot!(format!("help_{columns}"), all);
    }
}
