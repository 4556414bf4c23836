//! Uploading: `PUT /v1/modules/{name}` with a component as its body.
//!
//! Few uploads run at one time, because each may cost a compilation; others wait for their turn before their body
//! is read, so that waiting costs nothing but a connection. Two uploads of one module at one time are a conflict.
//!
//! The deployment runs in the future of the request, so that it ends when the client goes away. A client that
//! accepts `application/x-ndjson` gets a line per event and one every second while the component is compiled.

use crate::access::{Deployer, needs};
use crate::name::Name;
use crate::query::Query;
use crate::receive::{Received, check_size, receive};
use crate::refusal::{Refusal, Result};
use crate::router::App;
use crate::settings::Settings;
use crate::{openapi, wire};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{future::BoxFuture, stream};
use station_api::{Deployed, UploadEvent};
use station_kernel::control::{Principal, Upload};
use station_kernel::state::Scope;
use station_model::{Code, Digest, Grant, InterfaceName, Invalid, ModuleName};
use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Interval, interval, timeout},
};
use utoipa::IntoParams;

/// The media type of a stream of events.
const EVENTS: &str = "application/x-ndjson";
/// How often a client that waits for a compilation is told that it goes on.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// More in one upload is a mistake.
const PARAMETERS_MAX: usize = 1_000;

/// What to do in the same step. All but `digest` and `plan` need the scope `admin`.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Grants, as in `POST /v1/modules/{name}/grants`; may be given several times.
    #[param(value_type = Vec<String>, required = false)]
    grant: Vec<Grant>,
    /// Grant everything that this revision imports.
    #[param(required = false)]
    grant_all: bool,
    /// Who shall provide an import, as `IFACE=MODULE`; may be given several times.
    #[param(value_type = Vec<String>, required = false)]
    link: Vec<(InterfaceName, ModuleName)>,
    /// What the body must be, as `sha256:...`; the headers `Content-Digest` and `Digest` say the same.
    #[param(value_type = String, required = false)]
    digest: Vec<Digest>,
    /// Only say what would become of it. It is checked and compiled, and refused for what the upload would be refused
    /// for; then nothing of it is kept.
    #[param(required = false)]
    plan: bool,
}

impl Wanted {
    fn parse(pairs: Vec<(String, String)>) -> Result<Self> {
        if pairs.len() > PARAMETERS_MAX {
            return Err(Refusal::new(Code::AdminBadRequest, "too many query parameters"));
        }
        let mut wanted = Self::default();
        for (key, value) in &pairs {
            wanted.add(key, value)?;
        }
        Ok(wanted)
    }

    fn add(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "grant" => self.grant.push(value.parse().map_err(invalid)?),
            "grant_all" => self.grant_all = flag(key, value)?,
            "link" => self.link.push(link(value)?),
            "digest" => self.digest.push(value.parse().map_err(invalid)?),
            "plan" => self.plan = flag(key, value)?,
            _ => {
                let detail = format!(
                    "an upload takes no parameter `{key:.32}`; it takes grant, grant_all, link, digest and plan"
                );
                return Err(Refusal::new(Code::AdminBadRequest, detail));
            }
        }
        Ok(())
    }

    /// True when it decides more than what the module's bytes are.
    fn decides(&self) -> bool {
        self.grant_all || !self.grant.is_empty() || !self.link.is_empty()
    }
}

fn invalid(error: Invalid) -> Refusal {
    Refusal::new(Code::AdminBadRequest, error.to_string())
}

fn flag(key: &str, value: &str) -> Result<bool> {
    match value {
        "true" | "" => Ok(true),
        "false" => Ok(false),
        _ => Err(Refusal::new(Code::AdminBadRequest, format!("{key} is true or false"))),
    }
}

fn link(value: &str) -> Result<(InterfaceName, ModuleName)> {
    let bad = || Refusal::new(Code::AdminBadRequest, "a link looks like `ns:pkg/iface@1.2.3=module`");
    let (interface, module) = value.rsplit_once('=').ok_or_else(bad)?;
    Ok((interface.parse().map_err(invalid)?, module.parse().map_err(invalid)?))
}

/// The bytes of a component.
#[derive(utoipa::ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "stands for the body in the OpenAPI document")]
struct Component(Vec<u8>);

/// Uploads a component as a revision of a module, and activates it. All or nothing; the same bytes twice are one.
#[utoipa::path(put, path = "/v1/modules/{name}", tag = "modules", operation_id = "upload",
    request_body(content = Component, content_type = "application/wasm"),
    params(("name" = String, Path, description = "The module's name"), Wanted),
    responses(
        (status = 200, description = "This revision was active already; what would be done, with `plan`; or, for a client \
            that accepts it, the events",
            content((Deployed = "application/json"), (UploadEvent = "application/x-ndjson"))),
        (status = 201, description = "The revision is active", body = Deployed),
        openapi::Problems))]
pub(crate) async fn put(
    Deployer(who): Deployer,
    State(app): State<App>,
    Name(module): Name,
    Query(pairs): Query<Vec<(String, String)>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response> {
    let wanted = Wanted::parse(pairs)?;
    if wanted.decides() {
        needs(&who, Scope::Admin, "an upload with grant, grant_all or link")?;
    }
    let declared = declared(&headers, &wanted)?;
    check_length(&headers, &app.settings)?;
    let turn = app.uploads.turn(&module, app.settings.upload_wait).await?;
    let received = receive(app.control.upload_path(), body, &app.settings).await?;
    check_digest(&declared, received.digest)?;
    let uploaded = UploadEvent::Uploaded { bytes: received.size, digest: received.digest };
    let events = accepts_events(&headers);
    let work = Box::pin(deploy(app, who, module, wanted, received, turn));
    match events {
        true => Ok(Events::new(uploaded, work).into_response()),
        false => work.await.map(|(status, deployed)| (status, Json(deployed)).into_response()),
    }
}

async fn deploy(
    app: App,
    who: Principal,
    module: ModuleName,
    wanted: Wanted,
    received: Received,
    _turn: Turn,
) -> Result<(StatusCode, Deployed)> {
    let upload = Upload {
        module,
        file: received.path().to_owned(),
        digest: received.digest,
        size: received.size,
        grants: wanted.grant,
        grant_all: wanted.grant_all,
        links: wanted.link,
        plan: wanted.plan,
    };
    let deployed = app.control.deploy(who, upload).await?;
    let made = deployed.changed && !deployed.planned;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, wire::deployed(deployed)))
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains(EVENTS))
}

fn check_length(headers: &HeaderMap, settings: &Settings) -> Result<()> {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    check_size(length.unwrap_or(0), settings)
}

/// Every digest that the client declared, in the query or in a header.
fn declared(headers: &HeaderMap, wanted: &Wanted) -> Result<Vec<Digest>> {
    let mut declared = wanted.digest.clone();
    for name in ["content-digest", "repr-digest", "digest"].map(HeaderName::from_static) {
        for value in headers.get_all(name) {
            let text = value.to_str().unwrap_or_default();
            declared.extend(sha256_of(text)?);
        }
    }
    Ok(declared)
}

/// The SHA-256 of a digest header, `sha-256=:<base64>:` (RFC 9530) or `SHA-256=<base64>` (RFC 3230). Other
/// algorithms are not ours to check.
fn sha256_of(text: &str) -> Result<Option<Digest>> {
    let entries = text.split(',').filter_map(|entry| entry.trim().split_once('='));
    let Some((_, value)) = entries.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("sha-256")) else {
        return Ok(None);
    };
    let bytes = STANDARD.decode(value.trim_matches(':')).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
    match bytes {
        Some(bytes) => Ok(Some(Digest::from_bytes(bytes))),
        None => {
            Err(Refusal::new(Code::AdminBadRequest, "a digest header looks like `Content-Digest: sha-256=:<base64>:`"))
        }
    }
}

fn check_digest(declared: &[Digest], received: Digest) -> Result<()> {
    match declared.iter().find(|digest| **digest != received) {
        None => Ok(()),
        Some(digest) => {
            Err(Refusal::new(Code::UploadDigestMismatch, format!("{digest} was declared, but {received} came")))
        }
    }
}

/// Whose turn it is to upload.
pub(crate) struct Uploads {
    slots: Arc<Semaphore>,
    modules: Arc<Mutex<HashSet<ModuleName>>>,
}

/// The turn of one upload; it ends when this is dropped.
struct Turn {
    module: ModuleName,
    modules: Arc<Mutex<HashSet<ModuleName>>>,
    slot: Option<OwnedSemaphorePermit>,
}

impl Uploads {
    pub(crate) fn new(max: usize) -> Self {
        Self { slots: Arc::new(Semaphore::new(max)), modules: Arc::default() }
    }

    async fn turn(&self, module: &ModuleName, wait: Duration) -> Result<Turn> {
        if !self.modules.lock().unwrap_or_else(PoisonError::into_inner).insert(module.clone()) {
            let detail = format!("another upload of {module} is running; wait until it ends");
            return Err(Refusal::new(Code::UploadConflict, detail));
        }
        // Made before waiting, so that the module is free again when the client goes away meanwhile.
        let mut turn = Turn { module: module.clone(), modules: Arc::clone(&self.modules), slot: None };
        match timeout(wait, Arc::clone(&self.slots).acquire_owned()).await {
            Ok(slot) => {
                turn.slot = slot.ok();
                Ok(turn)
            }
            Err(_) => Err(Refusal::new(Code::StationBusy, "other uploads take their time; try again in a minute")),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.slot = None;
        self.modules.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.module);
    }
}

/// The answer as a stream: what happens, a heartbeat, how it ended.
struct Events {
    uploaded: Option<UploadEvent>,
    work: Option<BoxFuture<'static, Result<(StatusCode, Deployed)>>>,
    beats: Interval,
    began: Instant,
}

impl Events {
    fn new(uploaded: UploadEvent, work: BoxFuture<'static, Result<(StatusCode, Deployed)>>) -> Self {
        Self { uploaded: Some(uploaded), work: Some(work), beats: interval(HEARTBEAT), began: Instant::now() }
    }

    fn into_response(self) -> Response {
        let body = Body::from_stream(stream::unfold(self, Self::next));
        ([(header::CONTENT_TYPE, EVENTS)], body).into_response()
    }

    async fn next(mut self) -> Option<(std::result::Result<Bytes, Infallible>, Self)> {
        if let Some(uploaded) = self.uploaded.take() {
            return Some((Ok(line(&uploaded)), self));
        }
        let work = self.work.as_mut()?;
        let event = tokio::select! {
            biased;
            ended = work => {
                self.work = None;
                last(ended)
            }
            _ = self.beats.tick() => UploadEvent::Compiling { elapsed_ms: elapsed_ms(self.began) },
        };
        Some((Ok(line(&event)), self))
    }
}

fn last(ended: Result<(StatusCode, Deployed)>) -> UploadEvent {
    match ended {
        Ok((status, body)) => UploadEvent::Done { status: status.as_u16(), body },
        Err(refusal) => UploadEvent::Failed { problem: refusal.into_problem() },
    }
}

fn elapsed_ms(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn line(event: &UploadEvent) -> Bytes {
    // The event types have no maps with other than text keys, so they always serialise.
    let mut json = serde_json::to_vec(event).unwrap_or_default();
    json.push(b'\n');
    json.into()
}
