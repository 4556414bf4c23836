//! The closed list of error codes. Each has a page in `docs/errors/<CODE>.md`; tidy compares the two.
//!
//! A code never changes its meaning. Scripts and modules branch on codes, people read the pages.

use std::fmt;

/// What part of Station refused or failed; the text before the dot of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// The bytes of an upload.
    Upload,
    /// What a module imports and who provides it.
    Link,
    /// The first instance of a new revision.
    Start,
    /// A call.
    Call,
    /// The unit of work around a root call.
    Unit,
    /// SQL of a module.
    Sql,
    /// Events.
    Event,
    /// Going back to an earlier revision.
    Rollback,
    /// Outgoing HTTP.
    Http,
    /// A request to the admin API.
    Admin,
    /// The station itself.
    Station,
}

macro_rules! codes {
    ($( $variant:ident $text:literal $family:ident $status:literal $retryable:literal $title:literal; )*) => {
        /// A stable error code, such as `call.out_of_fuel`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $( #[doc = concat!("`", $text, "`: ", $title, ".")] $variant, )*
        }

        impl Code {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The code as scripts see it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The code whose text is `text`.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }

            /// The HTTP status of the problem document.
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// True when the same request may succeed later without any change.
            pub fn retryable(self) -> bool {
                match self { $(Self::$variant => $retryable,)* }
            }

            /// A short title that is the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What part of Station the code belongs to.
            pub fn family(self) -> Family {
                match self { $(Self::$variant => Family::$family,)* }
            }
        }
    };
}

codes! {
    UploadTooLarge "upload.too_large" Upload 413 false "The upload is larger than the station accepts";
    UploadTruncated "upload.truncated" Upload 400 false "The upload ended before its end";
    UploadNotWasm "upload.not_wasm" Upload 415 false "The upload is not WebAssembly";
    UploadNotAComponent "upload.not_a_component" Upload 415 false "The upload is a core module, not a component";
    UploadPrecompiledRefused "upload.precompiled_refused" Upload 415 false "Machine code is not accepted, only components";
    UploadInvalid "upload.invalid" Upload 422 false "The component is not valid";
    UploadUnsupportedFeature "upload.unsupported_feature" Upload 422 false "The component uses a WebAssembly feature that is off";
    UploadLimit "upload.limit" Upload 422 false "The component exceeds a structural limit";
    UploadBadName "upload.bad_name" Upload 422 false "A name is not acceptable";
    UploadCompileTimeout "upload.compile_timeout" Upload 422 false "Compiling took too long";
    UploadCompileMemory "upload.compile_memory" Upload 422 false "Compiling needed too much memory";
    UploadDigestMismatch "upload.digest_mismatch" Upload 400 false "The body does not have the declared digest";
    UploadConflict "upload.conflict" Upload 409 true "Another upload of this module is running";
    UploadQuota "upload.quota" Upload 507 false "The station keeps no more modules or revisions";
    UploadStorage "upload.storage" Upload 507 true "The upload could not be stored";
    LinkUnknownImport "link.unknown_import" Link 422 false "The component imports something that nobody can provide";
    LinkVersion "link.version" Link 422 false "The station offers another version of this interface";
    LinkTypeMismatch "link.type_mismatch" Link 409 false "Importer and provider disagree about a type";
    LinkNotGranted "link.not_granted" Link 403 false "The module has no grant for this interface";
    LinkNoSuchExport "link.no_such_export" Link 404 false "The provider does not export this";
    StartTrap "start.trap" Start 422 false "The component trapped while it was instantiated";
    StartOutOfFuel "start.out_of_fuel" Start 422 false "The component used up its fuel while it was instantiated";
    StartDeadline "start.deadline" Start 422 false "The component was not instantiated in time";
    StartLimit "start.limit" Start 422 false "The component needs more than a limit to be instantiated";
    CallTrap "call.trap" Call 500 false "The module trapped";
    CallStackOverflow "call.stack_overflow" Call 500 false "The module used up its stack";
    CallOutOfFuel "call.out_of_fuel" Call 500 false "The call used up its fuel";
    CallDeadline "call.deadline" Call 504 true "The call did not end before its deadline";
    CallMemoryLimit "call.memory_limit" Call 500 false "The module reached its memory limit";
    CallResourceLimit "call.resource_limit" Call 500 false "The call reached a limit on handles, calls or bytes";
    CallAbi "call.abi" Call 500 false "The module broke the canonical ABI";
    CallExit "call.exit" Call 500 false "The module called exit";
    CallDepth "call.depth" Call 500 false "The calls are nested too deeply";
    CallCycle "call.cycle" Call 500 false "The call would go in a circle";
    CallDenied "call.denied" Call 403 false "The call is not allowed";
    CallCancelled "call.cancelled" Call 499 true "The call was cancelled";
    CallBusy "call.busy" Call 503 true "The module serves as many calls as it may";
    CallNoSuchModule "call.no_such_module" Call 404 false "There is no such module";
    CallNoSuchFunction "call.no_such_function" Call 404 false "The module exports no such function";
    CallBadArgument "call.bad_argument" Call 422 false "The arguments do not fit the function";
    CallNotReady "call.not_ready" Call 503 true "The module cannot be called yet";
    CallReentered "call.reentered" Call 500 false "The owner of the resource is already on the stack";
    CallResourceGone "call.resource_gone" Call 500 false "The instance that owned the resource is gone";
    CallUnavailable "call.unavailable" Call 503 true "The provider cannot be reached";
    UnitConflict "unit.conflict" Unit 409 true "Another unit of work changed the same data";
    UnitTooLong "unit.too_long" Unit 503 true "The unit of work held the write lock too long";
    UnitResponseStarted "unit.response_started" Unit 500 false "The response has begun, so nothing can be written any more";
    UnitResponseTooBig "unit.response_too_big" Unit 500 false "The response of a writing call is too big to be held";
    SqlDenied "sql.denied" Sql 403 false "The statement reaches what is not the module's own";
    SqlInterrupted "sql.interrupted" Sql 504 true "The statement ran too long";
    SqlTooBig "sql.too_big" Sql 413 false "A value or a statement is too big";
    SqlTooManyRows "sql.too_many_rows" Sql 413 false "The statement returns too many rows";
    SqlBusy "sql.busy" Sql 503 true "The database is busy";
    SqlConstraint "sql.constraint" Sql 409 false "A constraint does not hold";
    SqlSyntax "sql.syntax" Sql 422 false "The statement is not valid";
    EventTooBig "event.too_big" Event 413 false "The event is too big";
    EventQuota "event.quota" Event 429 true "The module publishes too much";
    EventLoop "event.loop" Event 508 false "Events cause each other without end";
    EventSchema "event.schema" Event 422 false "The event does not fit its topic";
    EventNoSuchTopic "event.no_such_topic" Event 404 false "There is no such topic";
    RollbackSchemaAhead "rollback.schema_ahead" Rollback 409 false "The schema is newer than the revision";
    HttpDenied "http.denied" Http 403 false "The module may not reach this host";
    HttpDns "http.dns" Http 502 true "The host name does not resolve";
    HttpConnectTimeout "http.connect_timeout" Http 504 true "The host did not accept the connection in time";
    HttpTimeout "http.timeout" Http 504 true "The host did not answer in time";
    HttpTooBig "http.too_big" Http 502 false "The message is too big";
    HttpBadResponse "http.bad_response" Http 502 false "The answer is not valid";
    HttpTooManyRedirects "http.too_many_redirects" Http 502 false "Too many redirects";
    AdminUnauthenticated "admin.unauthenticated" Admin 401 false "The request carries no valid token";
    AdminForbidden "admin.forbidden" Admin 403 false "The token does not have the scope";
    AdminRateLimited "admin.rate_limited" Admin 429 true "Too many requests";
    AdminBadRequest "admin.bad_request" Admin 400 false "The request is not well formed";
    AdminTooLarge "admin.too_large" Admin 413 false "The request body is too large";
    AdminConflict "admin.conflict" Admin 409 false "The request conflicts with the present state";
    AdminNotFound "admin.not_found" Admin 404 false "There is no such thing";
    StationBusy "station.busy" Station 503 true "The station serves as many calls as it can";
    StationDraining "station.draining" Station 503 true "The station is shutting down";
    StationReadOnly "station.read_only" Station 503 true "The station accepts no changes";
    StationInternal "station.internal" Station 500 false "The station made a mistake";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("unknown code {text:?}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_as_itself() {
        for &code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), Some(code));
        }
    }

    #[test]
    fn no_two_codes_share_a_text() {
        let texts: std::collections::BTreeSet<_> = Code::ALL.iter().map(|c| c.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
