use actix_web::{FromRequest, Handler, Resource, Responder, web};

/// A resource that answers GET, and HEAD like GET without the body, as RFC 9110 section 9.1 asks of every server.
pub fn readable<F, Args>(path: &str, read: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path).route(web::get().to(read.clone())).route(web::head().to(read))
}
