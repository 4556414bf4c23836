//! SQLite's language, with what `sqlparser`'s own dialect of it leaves out: `<<`, `>>`, `ISNULL`, `INSERT INTO t AS u`,
//! and names of any character beyond ASCII.

use sqlparser::{
    ast::{Expr, Statement},
    dialect::{Dialect, Precedence, SQLiteDialect},
    parser::{Parser, ParserError},
    tokenizer::Token,
};
use std::any::TypeId;

const SQLITE: SQLiteDialect = SQLiteDialect {};

#[derive(Debug)]
pub(super) struct Sqlite;

impl Dialect for Sqlite {
    /// The parser asks for the type where a trait method would not do.
    fn dialect(&self) -> TypeId {
        SQLITE.dialect()
    }

    fn is_delimited_identifier_start(&self, ch: char) -> bool {
        SQLITE.is_delimited_identifier_start(ch)
    }

    fn is_identifier_start(&self, ch: char) -> bool {
        ch.is_ascii_alphabetic() || ch == '_' || !ch.is_ascii()
    }

    fn is_identifier_part(&self, ch: char) -> bool {
        self.is_identifier_start(ch) || ch.is_ascii_digit() || ch == '$'
    }

    fn parse_statement(&self, parser: &mut Parser<'_>) -> Option<Result<Statement, ParserError>> {
        SQLITE.parse_statement(parser)
    }

    fn get_next_precedence(&self, parser: &Parser<'_>) -> Option<Result<u8, ParserError>> {
        is_null(parser).then(|| Ok(self.prec_value(Precedence::Is)))
    }

    fn parse_infix(&self, parser: &mut Parser<'_>, expr: &Expr, precedence: u8) -> Option<Result<Expr, ParserError>> {
        if is_null(parser) {
            parser.advance_token();
            return Some(Ok(Expr::IsNull(Box::new(expr.clone()))));
        }
        SQLITE.parse_infix(parser, expr, precedence)
    }

    fn supports_bitwise_shift_operators(&self) -> bool {
        true
    }

    fn supports_insert_table_alias(&self) -> bool {
        true
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        SQLITE.supports_filter_during_aggregation()
    }

    fn supports_start_transaction_modifier(&self) -> bool {
        SQLITE.supports_start_transaction_modifier()
    }

    fn supports_in_empty_list(&self) -> bool {
        SQLITE.supports_in_empty_list()
    }

    fn supports_limit_comma(&self) -> bool {
        SQLITE.supports_limit_comma()
    }

    fn supports_asc_desc_in_column_definition(&self) -> bool {
        SQLITE.supports_asc_desc_in_column_definition()
    }

    fn supports_dollar_placeholder(&self) -> bool {
        SQLITE.supports_dollar_placeholder()
    }

    fn supports_notnull_operator(&self) -> bool {
        SQLITE.supports_notnull_operator()
    }

    fn supports_comma_separated_trim(&self) -> bool {
        SQLITE.supports_comma_separated_trim()
    }

    fn supports_numeric_literal_underscores(&self) -> bool {
        SQLITE.supports_numeric_literal_underscores()
    }
}

/// `x ISNULL`, which is no keyword to the parser.
fn is_null(parser: &Parser<'_>) -> bool {
    match &parser.peek_token_ref().token {
        Token::Word(word) => word.quote_style.is_none() && word.value.eq_ignore_ascii_case("isnull"),
        _ => false,
    }
}
