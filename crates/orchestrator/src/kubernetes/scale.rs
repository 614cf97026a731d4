//! Reading a target and writing its replicas.

use std::time::Duration;

use futures_util::future::join;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use spanwise_model::{Observed, Owner, ScaleAction, TargetRef};
use tokio::time::{Instant, sleep, timeout_at};

use super::Kubernetes;
use super::api::{Call, Failure};
use super::kind::Place;
use super::workload;
use crate::error::OrchError;
use crate::port::{Applied, Guard, check_state, expired};

/// Writes sent anew after a 409. A rollout moves an object about five times in four seconds, so
/// more than this within one decision means that somebody else is at work.
const N_REWRITES_MAX: u32 = 5;

/// `autoscaling/v1` Scale, what is read of it. An absent `spec.replicas` means 0, not 1: the server
/// leaves zeros out.
#[derive(Debug, Deserialize)]
struct Scale {
    metadata: ScaleMeta,
    #[serde(default)]
    spec: ScaleSpec,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ScaleMeta {
    uid: String,
    resource_version: String,
}

#[derive(Debug, Default, Deserialize)]
struct ScaleSpec {
    #[serde(default)]
    replicas: u32,
}

#[derive(Serialize)]
struct ScalePatch<'a> {
    metadata: PatchMeta<'a>,
    spec: PatchSpec,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PatchMeta<'a> {
    uid: &'a str,
    resource_version: &'a str,
}

#[derive(Serialize)]
struct PatchSpec {
    replicas: u32,
}

/// What one look at a target found.
pub(super) struct Look {
    /// Its state.
    pub(super) observed: Observed,
    /// The object itself, for what only some callers need.
    pub(super) object: Value,
}

impl Kubernetes {
    /// Reads the scale, then everything that may forbid a write. The order matters: see the text
    /// of the parent module. Lists of autoscalers may be `autoscalers_age` old.
    pub(super) async fn look(
        &self,
        place: &Place,
        autoscalers_age: Duration,
    ) -> Result<Look, Failure> {
        let scale: Scale =
            self.api.read(Call::get(place.scale_resource(), place.scale_path())).await?;
        let object = self.api.read(Call::get(&*place.kind.plural, place.object_path()));
        let (object, owner) = join(object, self.owner(place, autoscalers_age)).await;
        let (object, owner): (Value, Option<Owner>) = (object?, owner?);
        if workload::uid(&object) != scale.metadata.uid {
            return Err(Failure::Moved("it was recreated while it was read".to_owned()));
        }
        let desired = scale.spec.replicas;
        let observed = Observed {
            desired,
            ready: workload::ready(&object),
            settled: workload::settled(&object, desired),
            resources: workload::resources(&object),
            revision: scale.metadata.resource_version,
            uid: scale.metadata.uid,
            owner: owner.or_else(|| workload::controller(&object)),
            paused: workload::paused_by(&object).is_some(),
        };
        Ok(Look { observed, object })
    }

    /// Sets the replicas to `to`, looking again as often as the object moves meanwhile.
    pub(super) async fn scale(
        &self,
        target: &TargetRef,
        action: &ScaleAction,
        to: u32,
        guard: &Guard,
    ) -> Result<Applied, OrchError> {
        let expiry = sleep(guard.ttl).deadline();
        let place = in_time(expiry, self.locate(target)).await?;
        let mut n_rewrites = 0;
        loop {
            let attempt = self.attempt(&place, action, to, guard, expiry).await;
            match attempt {
                Ok(applied) => return Ok(Applied { n_rewrites, ..applied }),
                Err(Failure::Moved(_)) if n_rewrites < N_REWRITES_MAX => n_rewrites += 1,
                Err(Failure::Moved(message)) => {
                    let n_writes = N_REWRITES_MAX + 1;
                    let changed = format!("it kept changing, {n_writes} writes failed: {message}");
                    return Err(OrchError::conflict(changed));
                }
                Err(Failure::Busy(wait)) => {
                    let wake = sleep(wait);
                    if wake.deadline() >= expiry {
                        let detail = format!("the server is busy for {wait:?}, too long for this");
                        return Err(OrchError::transient(detail));
                    }
                    wake.await;
                }
                Err(Failure::Final(error)) => return Err(error),
            }
        }
    }

    /// Looks, judges and writes once.
    async fn attempt(
        &self,
        place: &Place,
        action: &ScaleAction,
        to: u32,
        guard: &Guard,
        expiry: Instant,
    ) -> Result<Applied, Failure> {
        let Look { observed, object } = in_time(expiry, self.look(place, Duration::ZERO)).await?;
        let checked = check_state(&observed, action, guard);
        if let (Err(OrchError::Paused { .. }), Some(by)) = (&checked, workload::paused_by(&object))
        {
            return Err(OrchError::Paused { by }.into());
        }
        let mut applied = Applied {
            action: action.clone(),
            written: checked?,
            revision: observed.revision.clone(),
            dry_run: guard.dry_run,
            n_rewrites: 0,
        };
        if applied.written {
            let call = patch(place, &observed, to, guard.dry_run)?;
            // The fence is the last thing before the bytes go out: behind the pace, and the write
            // then keeps its own deadline, because its answer is worth waiting for.
            in_time(expiry, async {
                self.api.turn().await;
                Ok(())
            })
            .await?;
            let scale: Scale = self.api.send(call).await?;
            applied.revision = scale.metadata.resource_version;
        }
        Ok(applied)
    }
}

/// The write. Its resourceVersion is one the server gave; an empty one or "0" would switch the
/// check off.
fn patch(place: &Place, state: &Observed, to: u32, dry_run: bool) -> Result<Call, OrchError> {
    if state.revision.is_empty() || state.revision == "0" || state.uid.is_empty() {
        let detail = "the server gave no resourceVersion or uid, so a write could not be guarded";
        return Err(OrchError::invalid(detail));
    }
    let body = ScalePatch {
        metadata: PatchMeta { uid: &state.uid, resource_version: &state.revision },
        spec: PatchSpec { replicas: to },
    };
    let body = serde_json::to_vec(&body).map_err(|error| OrchError::invalid(error.to_string()))?;
    let dry_run = if dry_run { "&dryRun=All" } else { "" };
    Ok(Call {
        verb: "patch",
        resource: place.scale_resource(),
        path: format!("{}?fieldManager=spanwise{dry_run}", place.scale_path()),
        patch: Some(body),
    })
}

/// Runs `work`, but not beyond the decision's time to live.
async fn in_time<T>(
    expiry: Instant,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    timeout_at(expiry, work).await.unwrap_or_else(|_| Err(expired().into()))
}
