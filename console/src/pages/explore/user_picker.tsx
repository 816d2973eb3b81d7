import { useState } from "preact/hooks";

import type { Preference, User } from "../../api/types";
import { formatPlural } from "../../format";
import { Busy, ErrorNotice, Notice } from "../../parts/notice";
import { useLoaded, useSession } from "../../state";

const CHOICES = 12;

export function describePreference({ text, weight = 1 }: Preference): string {
  return weight < 0 ? `dislikes ${text}` : text;
}

export function describeUser({ preferences = [], likedItems = [] }: User): string {
  const likes = formatPlural(likedItems.length, "liked item");
  const texts = preferences.map(describePreference);
  return texts.length ? `${texts.join("; ")} · ${likes}` : likes;
}

/** The first users of the catalog, and a field for the id of another one. */
export function UserPicker({ onPick }: { onPick: (userId: string) => void }) {
  const { api } = useSession();
  const [id, setId] = useState("");
  const task = useLoaded<User[]>(
    async (signal) => (await api.listUsers({ pageSize: CHOICES }, signal)).users ?? [],
    [api],
  );
  return (
    <div class="picker">
      <form
        class="picker-search"
        onSubmit={(event) => {
          event.preventDefault();
          if (id.trim()) onPick(id.trim());
        }}
      >
        <input
          aria-label="Id of a user"
          placeholder="Id of a user"
          value={id}
          onInput={(event) => setId(event.currentTarget.value)}
        />
        <button class="button">Choose</button>
      </form>
      <ErrorNotice error={task.error} onRetry={task.reload} />
      {task.isRunning && !task.value && <Busy />}
      {task.value?.length === 0 && (
        <Notice>The catalog has no stored user. A user who only has interactions can be chosen by id.</Notice>
      )}
      <ul class="picker-list" aria-label="Users">
        {task.value?.map((user) => (
          <li key={user.userId}>
            <button onClick={() => onPick(user.userId)}>
              <span class="picker-title">{user.userId}</span>
              <span class="id" dir="auto">
                {describeUser(user)}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </div>
  );
}
