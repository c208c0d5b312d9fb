use std::{
    future::{Ready, ready},
    panic::AssertUnwindSafe,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{
    Error, HttpMessage, HttpResponse, ResponseError,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::{
        ConnectionType, Method, StatusCode,
        header::{ALLOW, HeaderName, HeaderValue},
    },
};
use futures_util::{FutureExt, future::LocalBoxFuture};

use super::{
    Deadline, Doorkeeper, HttpMetrics, NoTraffic, Problem, RouteLabel, Visit,
    drain::Drain,
    metrics::known,
    origin::accept_or_make,
    spans::{answered, answering},
};
use crate::telemetry::{
    log::panic_message,
    trace::{Origin, REQUEST_ID},
};

/// What every request gets: an origin, a deadline, a [`Doorkeeper`] where there is one, an access line, metrics, a problem
/// that names its id where it fails, and `Connection: close` while the server drains.
#[derive(Clone)]
pub(super) struct Tracking {
    metrics: HttpMetrics,
    drain: Drain,
    doorkeeper: Option<Arc<dyn Doorkeeper>>,
}

impl Tracking {
    pub(super) fn new(metrics: HttpMetrics, drain: Drain, doorkeeper: Option<Arc<dyn Doorkeeper>>) -> Self {
        Self { metrics, drain, doorkeeper }
    }

    fn admit(&self, request: &ServiceRequest) -> Result<(), Problem> {
        self.doorkeeper.as_ref().map_or(Ok(()), |doorkeeper| doorkeeper.admit(&Visit::of(request)))
    }
}

impl<S> Transform<S, ServiceRequest> for Tracking
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error> + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = Tracked<S>;
    type InitError = ();
    type Future = Ready<Result<Self::Transform, ()>>;

    fn new_transform(&self, service: S) -> Self::Future {
        ready(Ok(Tracked { service: Rc::new(service), tracking: Rc::new(self.clone()) }))
    }
}

pub(super) struct Tracked<S> {
    service: Rc<S>,
    tracking: Rc<Tracking>,
}

impl<S> Service<ServiceRequest> for Tracked<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error> + 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(service);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let started = Instant::now();
        self.tracking.drain.request();
        let (origin, parent) = accept_or_make(request.headers(), request.path());
        let mut span = answering(&request, &origin, parent);
        request.extensions_mut().insert(origin.clone());
        let deadline = Deadline::read(request.headers(), started);
        request.extensions_mut().insert(deadline);
        let method = request.method().clone();
        let (service, tracking) = (self.service.clone(), self.tracking.clone());
        Box::pin(origin.clone().scope(async move {
            let admitted = tracking.admit(&request);
            let answer = AssertUnwindSafe(async move {
                deadline.check()?;
                match admitted {
                    Ok(()) => service.call(request).await,
                    Err(refusal) => Ok(request.into_response(refusal.error_response())),
                }
            });
            let answer = answer.catch_unwind().await;
            let failure = match answer {
                Ok(Ok(response)) => {
                    let mut response = with_problem(response, &origin);
                    let label = route(&response);
                    tracking.note(&method, &label, response.status(), started.elapsed(), &origin);
                    if response.request().app_data::<NoTraffic>().is_none() {
                        tracking.metrics.count(response.status().as_u16());
                    }
                    span.note(|record| {
                        answered(record, known(&method), &label, response.status().as_u16());
                    });
                    tracking.finish(response.response_mut(), &origin);
                    return Ok(response);
                }
                Ok(Err(error)) => Problem::from_error(&error),
                // The hook has logged where; this line says in which request.
                Err(panic) => Problem::hidden(format!("panicked: {}", panic_message(panic.as_ref()))),
            };
            // The request went down with the service, so the answer leaves as an error.
            log_cause(&failure, &origin);
            let status = failure.status();
            tracking.note(&method, &RouteLabel::UNKNOWN, status, started.elapsed(), &origin);
            tracking.metrics.count(status.as_u16());
            span.note(|record| answered(record, known(&method), &RouteLabel::UNKNOWN, status.as_u16()));
            Err(failure.of_request(origin.request_id).into())
        }))
    }
}

impl Tracking {
    /// Writes the access line and the metrics.
    fn note(&self, method: &Method, route: &RouteLabel, status: StatusCode, took: Duration, origin: &Origin) {
        self.metrics.observe(method, route, status.as_u16(), took);
        // A 503 is a refusal that was decided on, by the thousand while something is away; that is counted, and
        // whoever decided has said why, once.
        let odd = status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE;
        let level = if odd { log::Level::Warn } else { log::Level::Debug };
        log::log!(
            level,
            "event=request method={method} route={route} status={} ms={:.1} request_id={} trace_id={}",
            status.as_u16(),
            took.as_secs_f64() * 1000.0,
            origin.request_id,
            origin.traceparent.trace_id(),
        );
    }

    /// Adds the headers that every answer carries.
    fn finish(&self, response: &mut HttpResponse, origin: &Origin) {
        if let Ok(id) = HeaderValue::from_str(origin.request_id.as_str()) {
            response.headers_mut().insert(HeaderName::from_static(REQUEST_ID), id);
        }
        for (name, value) in self.doorkeeper.iter().flat_map(|doorkeeper| doorkeeper.fields()) {
            if !response.headers().contains_key(*name) {
                let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
                response.headers_mut().insert(name, value);
            }
        }
        if self.drain.is_draining() {
            response.head_mut().set_connection_type(ConnectionType::Close);
        }
    }
}

fn route(response: &ServiceResponse) -> RouteLabel {
    let request = response.request();
    if let Some(label) = request.extensions().get::<RouteLabel>() {
        return label.clone();
    }
    request.match_pattern().map_or(RouteLabel::UNKNOWN, RouteLabel::from)
}

/// Turns every failed answer into a problem that names the request, whoever made the answer: a handler, an
/// extractor, or actix itself.
fn with_problem(response: ServiceResponse, origin: &Origin) -> ServiceResponse {
    if response.status().as_u16() < 400 {
        return response;
    }
    let Some(problem) = problem_of(response.response()) else {
        return response;
    };
    log_cause(&problem, origin);
    let finished = problem.of_request(origin.request_id.clone()).to_response();
    response.into_response(finished)
}

/// Logs what the client is not told.
fn log_cause(problem: &Problem, origin: &Origin) {
    if let Some(cause) = problem.cause() {
        log::error!(
            "event=internal_error request_id={} trace_id={} cause={cause:?}",
            origin.request_id,
            origin.traceparent.trace_id(),
        );
    }
}

fn problem_of(response: &HttpResponse) -> Option<Problem> {
    if let Some(problem) = response.extensions().get::<Problem>() {
        return Some(problem.clone());
    }
    if let Some(error) = response.error() {
        return Some(Problem::from_error(error));
    }
    let empty = matches!(response.body().size(), BodySize::None | BodySize::Sized(0));
    if !empty {
        return None;
    }
    let mut problem = Problem::of_status(response.status());
    if let Some(allow) = response.headers().get(ALLOW).and_then(|allow| allow.to_str().ok()) {
        problem = problem.allow(allow);
    }
    Some(problem)
}
