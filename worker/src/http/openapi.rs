//! The API's own description, generated from the routes' code.

use axum::Json;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBody;
use utoipa::openapi::schema::{ArrayItems, ObjectBuilder, Schema, Type};
use utoipa::openapi::{ContentBuilder, Object, Ref, RefOr, Required, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::extract::{CLIENT_HEADER, REVIEWER_HEADER};
use super::{
    assets, forget, intake, jobs, pictures, searches, session, status, stream, suggestions, uploads,
    vocabulary, wire,
};

/// Every documented route.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "docent",
        description = "Suggestions about the pictures of an archive, and the decisions on them. Every answer that is \
                       an error is `{\"error\":{\"code\",\"message\"}}`. Where a token is configured, every route but \
                       `/healthz` needs `Authorization: Bearer …`. A request that changes something needs \
                       `Content-Type: application/json`, `Authorization` or `X-Docent-Client`. `X-Docent-Reviewer` \
                       names who decides.",
        license(name = "MIT OR Apache-2.0"),
    ),
    modifiers(&Shared),
    paths(
        assets::list,
        uploads::post,
        uploads::put,
        intake::post,
        assets::one,
        assets::suggestions,
        pictures::picture,
        pictures::thumbnail,
        searches::similar,
        suggestions::list,
        suggestions::count,
        jobs::accept_all,
        jobs::preview,
        jobs::last_step,
        suggestions::one,
        suggestions::reviews,
        suggestions::accept,
        suggestions::reject,
        suggestions::undo,
        jobs::list,
        jobs::one,
        jobs::revert,
        forget::list,
        forget::post,
        forget::preview,
        forget::one,
        forget::barred,
        forget::readmit,
        searches::words,
        vocabulary::summary,
        vocabulary::list,
        vocabulary::change::add,
        vocabulary::one,
        vocabulary::change::put,
        vocabulary::change::remove,
        vocabulary::change::merge,
        vocabulary::log,
        vocabulary::files::import,
        vocabulary::files::export,
        stream::events,
        status::counts,
        status::failures,
        session::open,
        session::close,
        serve,
        status::alive,
        status::ready,
        status::metrics,
    )
)]
struct Api;

/// What holds for many routes, and is written down once: what texts may be, how else a request is answered, which headers it
/// needs.
struct Shared;

impl Modify for Shared {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        for (path, item) in &mut document.paths.paths {
            for (changes, operation) in operations(item) {
                let Operation { tags, operation_id, .. } = operation;
                // Functions have short names within their files; ids are unique.
                if let (Some([tag, ..]), Some(id)) = (tags.as_deref(), operation_id.as_mut()) {
                    *id = format!("{tag}_{id}");
                }
                for parameter in operation.parameters.iter_mut().flatten() {
                    if let RefOr::T(Parameter {
                        name, schema: Some(RefOr::T(Schema::Object(object))), ..
                    }) = parameter
                    {
                        restrict(path, name, object);
                    }
                }
                if changes {
                    headers(operation);
                }
                answers(path, operation);
            }
        }
        let schemas = document.components.iter_mut().flat_map(|components| &mut components.schemas);
        for (name, schema) in schemas {
            let RefOr::T(Schema::Object(body)) = schema else { continue };
            for (property, schema) in &mut body.properties {
                if let RefOr::T(Schema::Array(array)) = schema
                    && matches!(
                        (name.as_str(), property.as_str()),
                        ("AcceptAll", "assets" | "suggestions")
                            | ("TermBody", "parents")
                            | ("ForgetOrder", "assets")
                    )
                    && let ArrayItems::RefOrSchema(items) = &mut array.items
                    && let RefOr::T(Schema::Object(item)) = &mut **items
                {
                    item.pattern = Some(wire::ID_PATTERN.to_owned());
                }
                if let RefOr::T(Schema::Object(object)) = schema
                    && matches!(name.as_str(), "AcceptAll" | "Intake" | "ForgetOrder")
                {
                    restrict("", property, object);
                }
            }
        }
    }
}

/// The operations of a path, and whether they change something.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (bool, &mut Operation)> {
    let PathItem { get, post, put, delete, .. } = item;
    [(false, get), (true, post), (true, put), (true, delete)]
        .into_iter()
        .filter_map(|(changes, operation)| Some((changes, operation.as_mut()?)))
}

/// What a text must look like that is called so wherever it occurs.
fn restrict(path: &str, name: &str, object: &mut Object) {
    let pattern = match name {
        "path" => wire::PATH_PATTERN,
        "owner" => wire::OWNER_PATTERN,
        "asset" | "term" => wire::ID_PATTERN,
        "parent" => wire::PARENT_PATTERN,
        "after" => match path {
            "/api/v1/assets" => wire::ASSETS_CURSOR,
            "/api/v1/failures" => wire::FAILURES_CURSOR,
            "/api/v1/jobs" | "/api/v1/forget" | "/api/v1/forgotten" | "/api/v1/vocabulary/log" => {
                wire::JOBS_CURSOR
            }
            "/api/v1/vocabulary/terms" => wire::TERMS_CURSOR,
            _ => wire::SUGGESTIONS_CURSOR,
        },
        "id" if path == "/api/v1/suggestions/{id}" || path.ends_with("/reviews") => wire::PREFIX_PATTERN,
        "id" if path.starts_with("/api/v1/jobs/") || path.starts_with("/api/v1/forget/") => return,
        "id" => wire::ID_PATTERN,
        _ => return,
    };
    object.pattern = Some(pattern.to_owned());
    object.max_length = (name == "owner").then_some(wire::MAX_OWNER_CHARS);
}

/// The headers of a request that changes something.
fn headers(operation: &mut Operation) {
    let header = |name: &str, required, description: &str| {
        let schema = ObjectBuilder::new().schema_type(Type::String);
        let header = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Header);
        RefOr::T(header.required(required).description(Some(description)).schema(Some(schema)).build())
    };
    let parameters = operation.parameters.get_or_insert_default();
    let is_json = |body: &RefOr<RequestBody>| matches!(body, RefOr::T(body) if body.content.contains_key("application/json"));
    if !operation.request_body.as_ref().is_some_and(is_json) {
        parameters.push(header(
            CLIENT_HEADER,
            Required::True,
            "`web` from the review page, anything from other programs. `Content-Type: application/json` or `Authorization` \
             do instead: pages from elsewhere cannot send them.",
        ));
    }
    parameters.push(header(
        REVIEWER_HEADER,
        Required::False,
        "Who decides; the configured reviewer where not given. What is behind the first 100 characters is cut off.",
    ));
}

/// The errors that any request may be answered with.
fn answers(path: &str, operation: &mut Operation) {
    if path == "/healthz" {
        return;
    }
    let has_body = operation.request_body.is_some();
    let takes = has_body || operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty());
    let errors = [
        (takes, 400, "A parameter or the body is wrong"),
        (true, 401, "A token is configured, and the request has none or another one"),
        (true, 403, "The request comes from where it must not, or lacks a header"),
        (has_body, 413, "The body is too large"),
        (true, 500, "Something went wrong inside docent"),
        (true, 503, "Ledger, index or file cannot be reached now"),
        (true, 504, "The request took too long"),
    ];
    for (_, status, description) in errors.into_iter().filter(|(applies, ..)| *applies) {
        let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("ErrorBody"))).build();
        let answer =
            ResponseBuilder::new().description(description).content("application/json", body).build();
        operation.responses.responses.entry(status.to_string()).or_insert(RefOr::T(answer));
    }
}

/// The OpenAPI document.
pub fn document() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "operation", responses(
    (status = 200, description = "OpenAPI 3.1"),
))]
pub async fn serve() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}
