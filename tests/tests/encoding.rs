//! A database that cannot hold text of all scripts is refused before anything is written to it.

use docent::store::{PostgresOptions, PostgresStore, StoreError};
use docent_tests::program::Docent;
use docent_tests::servers::Database;
use sqlx::{Connection, PgConnection};

const PROGRAM: &str = env!("CARGO_BIN_EXE_docent-under-test");

#[tokio::test]
async fn a_database_that_is_not_utf_8_is_refused_with_the_command_that_makes_one() {
    let database = Database::new().await.expect("a database");
    let mut url = url::Url::parse(database.url()).expect("an address");
    let name = url.path().trim_start_matches('/').to_owned();
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let mut connection = PgConnection::connect(database.url()).await.expect("connects");
        let other = format!("{name}_{}", encoding.to_lowercase());
        let sql = format!(
            "create database {other} encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0"
        );
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.expect("is created");
        url.set_path(&other);
        let options = PostgresOptions { connections: 2 };
        let refused = PostgresStore::connect(url.as_str(), options).await.err().expect("is refused");
        assert!(matches!(&refused, StoreError::Encoding { found } if found == encoding), "{refused}");
        assert!(!refused.may_pass(), "nobody waits for another encoding");

        let docent = Docent::new(PROGRAM).with_variable("DOCENT_BACKENDS_STORE", url.as_str());
        let command = "create database docent encoding 'UTF8' template template0";
        for args in [&["status"][..], &["ingest", "."]] {
            let url = url.clone();
            let ended = docent.run(args).expect(2);
            let (error, hint) = ended.stderr.split_once('\n').expect("two lines");
            assert!(error.contains(encoding) && error.contains("UTF8"), "{error}");
            assert!(hint.contains(command) && hint.contains(url.path()), "{hint}");
            assert!(!ended.stderr.contains("not-a-secret"), "{}", ended.stderr);
        }
        let found = docent.run(["doctor", "--format=json"]).json();
        let ledger = found.iter().find(|finding| finding["check"] == "ledger").expect("is looked at");
        assert_eq!(ledger["ok"], false, "{ledger}");
        assert!(ledger["detail"].as_str().is_some_and(|detail| detail.contains(encoding)), "{ledger}");
        assert!(ledger["hint"].as_str().is_some_and(|hint| hint.contains(command)), "{ledger}");
        let mut inside = PgConnection::connect(url.as_str()).await.expect("connects");
        let tables: i64 = sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'")
            .fetch_one(&mut inside)
            .await
            .expect("counts");
        assert_eq!(tables, 0, "nothing was written");
    }
}
