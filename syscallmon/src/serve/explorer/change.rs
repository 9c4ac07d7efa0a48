//! The forms of a baseline's page: approve it, or learn again.
//!
//! Who may change a baseline is as for the API, except that a browser sends the form: then it must come from a page of
//! this daemon.

use axum::{
    Extension,
    extract::{Path, State as Extract},
    http::{HeaderMap, HeaderValue, StatusCode, Uri, Version, header::LOCATION},
    response::{IntoResponse, Response},
};
use exporter_web::Caller;

use super::find;
use crate::serve::{
    Site,
    api::{
        baseline_action::BaselineAction,
        local::{self, form_refusal, is_same_origin},
    },
};

/// Whether a page should have the forms for the client of a request.
pub(super) fn may_offer(caller: Option<&Caller>, headers: &HeaderMap) -> bool {
    caller.is_some_and(|caller| caller.user.is_some() || (caller.is_local && local::has_loopback_host(headers)))
}

/// Changes a baseline, and shows its page.
pub(super) async fn change(
    Extract(site): Extract<Site>,
    Path((id, action)): Path<(String, String)>,
    caller: Option<Extension<Caller>>,
    (version, uri, headers): (Version, Uri, HeaderMap),
) -> Response {
    let (Some(action), Some(Extension(caller))) = (BaselineAction::named(&action), caller) else {
        return (StatusCode::NOT_FOUND, "there is no such action\n").into_response();
    };
    if let Err(reason) = may_change(&caller, version, &uri, &headers) {
        let who = "a user of web.config.file, or a browser on this host at a loopback address";
        return (StatusCode::FORBIDDEN, format!("changing a baseline requires {who}: {reason}\n")).into_response();
    }
    let view = site.views.newest();
    let key = find(&id, view.baselines.iter(), |baseline| baseline.kind.id()).map(|baseline| baseline.kind.clone());
    let Some(key) = key else { return (StatusCode::NOT_FOUND, "there is no such baseline\n").into_response() };
    if action.apply(&site.owner, &key, &caller, "the explorer").await.is_none() {
        return (StatusCode::NOT_FOUND, "there is no such baseline any more\n").into_response();
    }
    // The page shows the view after the change.
    site.owner.refresh().await;
    let mut response = StatusCode::SEE_OTHER.into_response();
    let to = HeaderValue::from_str(&format!("/baseline/{}", key.id())).expect("an id is plain text");
    response.headers_mut().insert(LOCATION, to);
    response
}

fn may_change(caller: &Caller, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), String> {
    if caller.user.is_some() {
        // The browser sends the password with forms of any page.
        return if is_same_origin(uri, headers) {
            Ok(())
        } else {
            Err("the form is not from a page of this address".to_owned())
        };
    }
    if !caller.is_local {
        return Err("it is not from a loopback address".to_owned());
    }
    form_refusal(version, uri, headers).map_or(Ok(()), Err)
}
