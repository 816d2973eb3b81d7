import { useEffect, useState } from "preact/hooks";

import type { UserList } from "../../api/types";
import { formatPlural } from "../../format";
import { PageHead } from "../../parts/layout";
import { Busy, Empty, ErrorNotice } from "../../parts/notice";
import { Pager } from "../../parts/pager";
import { buildLink, useRoute } from "../../router";
import { useScrollUp, useSession, useTask } from "../../state";
import { UploadDialog } from "../../upload/upload_dialog";
import { describePreference } from "../explore/user_picker";
import { UserDialog } from "./user_dialog";
import { UserEditor } from "./user_editor";

const PAGE_SIZE = 50;
const SHOWN_PREFERENCES = 3;

type Open = "upload" | "new" | undefined;

export function Users() {
  const { api, scopes, reload } = useSession();
  const route = useRoute();
  const [tokens, setTokens] = useState<string[]>([]);
  const [opened, setOpened] = useState<Open>();
  const task = useTask<UserList>();
  const pageToken = tokens.at(-1) ?? "";
  useScrollUp(pageToken);
  const load = () => void task.run((signal) => api.listUsers({ pageSize: PAGE_SIZE, pageToken }, signal));
  useEffect(load, [api, pageToken]);
  const openedId = route.query.get("id");
  const close = () => {
    setOpened(undefined);
    load();
    reload();
  };
  return (
    <>
      <PageHead title="Users">
        {scopes.write && (
          <>
            <button class="button" onClick={() => setOpened("new")}>
              New user
            </button>
            <button class="button button-main" onClick={() => setOpened("upload")}>
              Upload a file
            </button>
          </>
        )}
      </PageHead>
      <FindUser catalog={api.name} />
      <ErrorNotice error={task.error} onRetry={load} />
      {task.isRunning && !task.value && <Busy />}
      {task.value && (
        <p class="summary" role="status">
          {formatPlural(task.value.totalSize, "user")}
        </p>
      )}
      {task.value && <UserEntries list={task.value} catalog={api.name} />}
      <Pager
        page={tokens.length + 1}
        hasNext={Boolean(task.value?.nextPageToken)}
        onPrevious={() => setTokens(tokens.slice(0, -1))}
        onNext={() => setTokens([...tokens, task.value?.nextPageToken ?? ""])}
      />
      {openedId && (
        <UserDialog
          key={openedId}
          userId={openedId}
          onClose={() => {
            location.hash = buildLink(api.name, "users");
          }}
          onChange={load}
        />
      )}
      {opened === "upload" && <UploadDialog initialKind="users" onClose={close} />}
      {opened === "new" && <UserEditor user={{ userId: "" }} onClose={close} onSaved={close} />}
    </>
  );
}

function FindUser({ catalog }: { catalog: string }) {
  const [id, setId] = useState("");
  return (
    <form
      class="picker-search"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        if (id.trim()) location.hash = buildLink(catalog, "users", { id: id.trim() });
      }}
    >
      <input
        aria-label="Id of a user"
        placeholder="Open a user by id"
        value={id}
        onInput={(event) => setId(event.currentTarget.value)}
      />
      <button class="button">Open</button>
    </form>
  );
}

function UserEntries({ list, catalog }: { list: UserList; catalog: string }) {
  const users = list.users ?? [];
  if (!users.length) return <Empty>The catalog has no stored user.</Empty>;
  return (
    <ul class="entries" aria-label="Users">
      {users.map(({ userId, preferences = [], likedItems = [] }) => (
        <li key={userId} class="entry">
          <div class="entry-name">
            <a href={buildLink(catalog, "users", { id: userId })}>{userId}</a>
            <span class="muted">
              {formatPlural(preferences.length, "preference")}, {formatPlural(likedItems.length, "liked item")}
            </span>
          </div>
          <p class="excerpt" dir="auto">
            {preferences
              .slice(0, SHOWN_PREFERENCES)
              .map(describePreference)
              .join("; ")}
          </p>
          <div class="entry-side">
            <a href={buildLink(catalog, "explore", { user: userId })}>Explore</a>
          </div>
        </li>
      ))}
    </ul>
  );
}
