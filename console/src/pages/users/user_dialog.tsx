import { useState } from "preact/hooks";

import { ApiError, NOT_FOUND } from "../../api/errors";
import type { InteractionList, User } from "../../api/types";
import { formatPlural, formatTime } from "../../format";
import { Confirm, Dialog } from "../../parts/dialog";
import { Busy, ErrorNotice, Notice } from "../../parts/notice";
import { useTitles } from "../../parts/titles";
import { buildLink } from "../../router";
import { useLoaded, useSession } from "../../state";
import { UserEditor } from "./user_editor";

const SHOWN_LIKES = 100;

interface UserDialogProps {
  userId: string;
  onClose: () => void;
  onChange: () => void;
}

export function UserDialog({ userId, onClose, onChange }: UserDialogProps) {
  const { api, scopes } = useSession();
  const task = useLoaded<User>((signal) => api.getUser(userId, signal), [api, userId]);
  const [mode, setMode] = useState<"view" | "edit" | "delete">("view");
  const user = task.value;
  const isMissing = task.error instanceof ApiError && task.error.code === NOT_FOUND;
  const save = (saved: User) => {
    task.set(saved);
    setMode("view");
    onChange();
  };
  return (
    <Dialog title={userId} onClose={onClose} isWide>
      {isMissing ? <Notice>This user is not stored.</Notice> : <ErrorNotice error={task.error} onRetry={task.reload} />}
      {!user && task.isRunning && <Busy />}
      {user && <UserView user={user} />}
      <Interactions userId={userId} />
      <div class="actions">
        <a class="button button-main" href={buildLink(api.name, "explore", { user: userId })}>
          Explore for this user
        </a>
        {user && scopes.write && (
          <>
            <button class="button" onClick={() => setMode("edit")}>
              Edit
            </button>
            <button class="button button-danger" onClick={() => setMode("delete")}>
              Delete
            </button>
          </>
        )}
      </div>
      {mode === "edit" && user && <UserEditor user={user} onClose={() => setMode("view")} onSaved={save} />}
      {mode === "delete" && (
        <Confirm
          title="Delete the user"
          verb="Delete the user"
          work={() => api.deleteUser(userId)}
          onClose={() => setMode("view")}
          onDone={() => {
            onChange();
            onClose();
          }}
        >
          <p>
            The preferences and liked items of <strong>{userId}</strong> are deleted for good. The interactions of the
            user stay.
          </p>
        </Confirm>
      )}
    </Dialog>
  );
}

function Weight({ weight = 1 }: { weight: number | undefined }) {
  return weight < 0 ? <span class="tag tag-warning">dislike {weight}</span> : <span class="tag">{weight}</span>;
}

function UserView({ user: { preferences = [], likedItems = [], updateTime } }: { user: User }) {
  const { api } = useSession();
  const latest = [...likedItems].reverse().slice(0, SHOWN_LIKES);
  const titleOf = useTitles(
    api,
    latest.map(({ itemId }) => itemId),
  );
  return (
    <>
      <p class="muted">Written {formatTime(updateTime)}</p>
      <h3>Preferences</h3>
      {preferences.length === 0 && <p class="muted">None</p>}
      <ul class="rows">
        {preferences.map(({ text, weight }) => (
          <li key={text}>
            <Weight weight={weight} /> <bdi>{text}</bdi>
          </li>
        ))}
      </ul>
      <h3>Liked items, latest first</h3>
      {latest.length === 0 && <p class="muted">None</p>}
      <ul class="rows">
        {latest.map(({ itemId, weight }) => (
          <li key={itemId}>
            <Weight weight={weight} /> <a href={buildLink(api.name, "items", { id: itemId })} dir="auto">{titleOf(itemId)}</a>
          </li>
        ))}
      </ul>
      {likedItems.length > SHOWN_LIKES && <p class="hint">And {likedItems.length - SHOWN_LIKES} older ones.</p>}
    </>
  );
}

function Interactions({ userId }: { userId: string }) {
  const { api } = useSession();
  const task = useLoaded<InteractionList>((signal) => api.listInteractions(userId, signal), [api, userId]);
  const interactions = task.value?.interactions ?? [];
  const titleOf = useTitles(
    api,
    interactions.map(({ itemId }) => itemId),
  );
  return (
    <>
      <h3>Interactions</h3>
      <ErrorNotice error={task.error} onRetry={task.reload} />
      {task.value && <p class="muted">{formatPlural(task.value.totalSize, "interaction")}</p>}
      {interactions.length > 0 && (
        <div class="table-scroll" role="region" aria-label="Interactions" tabIndex={0}>
          <table>
            <tbody>
              {interactions.map(({ interactionId, itemId, type, time }) => (
                <tr key={`${interactionId} ${itemId} ${type} ${time}`}>
                  <td>{type}</td>
                  <td class="long" dir="auto">
                    {titleOf(itemId)}
                  </td>
                  <td>{formatTime(time)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
