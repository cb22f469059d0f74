//! Migrations that are part of the program.
//!
//! sqlx has a macro for this, whose crate compiles both databases a second time, for the compiler's own use.

use std::sync::LazyLock;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Migrations, made when they are first needed.
pub(super) type Migrations = LazyLock<Migrator>;

/// Names of files below `migrations/`, as in `0001_ledger`, with their text.
macro_rules! migrations {
    ($folder:literal: $($name:literal),+ $(,)?) => {
        std::sync::LazyLock::new(|| {
            $crate::store::migrations::migrator(&[
                $(($name, include_str!(concat!("../../../migrations/", $folder, "/", $name, ".sql")))),+
            ])
        })
    };
}
pub(super) use migrations;

/// The number before the first underscore is the version, what follows describes it.
pub(super) fn migrator(files: &[(&'static str, &'static str)]) -> Migrator {
    let migration = |&(name, sql): &(&'static str, &'static str)| {
        let (version, description) = name.split_once('_').unwrap_or((name, ""));
        let version = version.parse().unwrap_or(0);
        let description = description.replace('_', " ").into();
        let no_tx = sql.starts_with("-- no-transaction");
        Migration::new(version, description, MigrationType::Simple, sql.into_sql_str(), no_tx)
    };
    Migrator::with_migrations(files.iter().map(migration).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    /// A file that is not named in the list would never be run.
    #[test]
    fn every_file_is_in_the_program() {
        for (folder, known) in [
            ("postgres", &*crate::store::postgres::MIGRATIONS),
            ("sqlite", &*crate::store::sqlite::MIGRATIONS),
        ] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
            let files: BTreeSet<(i64, String)> = std::fs::read_dir(path)
                .expect("the folder")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
                .map(|name| {
                    let (version, rest) = name.split_once('_').expect("a version");
                    let description = rest.strip_suffix(".sql").expect("SQL").replace('_', " ");
                    (version.parse().expect("a number"), description)
                })
                .collect();
            let known: BTreeSet<(i64, String)> = known
                .iter()
                .map(|migration| (migration.version, migration.description.to_string()))
                .collect();
            assert_eq!(known, files, "{folder}");
        }
    }
}
