import { useState } from "preact/hooks";

import { ErrorNotice } from "../parts/notice";
import { TextField } from "../parts/field";
import { Mark } from "../parts/icon";

interface SignInProps {
  error: unknown;
  catalog: string;
  onSignIn: (key: string, catalog: string) => void;
}

export function SignIn({ error, catalog, onSignIn }: SignInProps) {
  const [key, setKey] = useState("");
  const [name, setName] = useState(catalog);
  return (
    <main class="sign-in">
      <form
        class="card sign-in-card"
        onSubmit={(event) => {
          event.preventDefault();
          onSignIn(key.trim(), name.trim() || "default");
        }}
      >
        <div class="brand">
          <Mark />
          <span>Akin</span>
        </div>
        <h1>Sign in</h1>
        <p class="muted">This server asks for an API key. It stays in this tab until you sign out or close it.</p>
        <ErrorNotice error={error} />
        <TextField label="API key" type="password" value={key} onValue={setKey} required />
        <TextField
          label="Catalog"
          value={name}
          onValue={setName}
          hint="A key for one catalog opens only that one."
        />
        <button class="button button-main">Sign in</button>
      </form>
    </main>
  );
}
