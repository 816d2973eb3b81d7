import { useState } from "preact/hooks";

import { ErrorNotice } from "../parts/notice";
import { TextField } from "../parts/field";
import { Mark } from "../parts/icon";

interface SignInProps {
  error: unknown;
  catalog: string;
  /** False if the command that serves the console has a key, which does not open this catalog. */
  needsKey: boolean;
  onSignIn: (key: string, catalog: string) => void;
}

// Headers of HTTP take no other characters, and no key of the server has them.
const KEY_CHARACTERS = /^[!-~ ]*$/;

export function SignIn({ error, catalog, needsKey, onSignIn }: SignInProps) {
  const [key, setKey] = useState("");
  const [name, setName] = useState(catalog);
  const [invalid, setInvalid] = useState<Error>();
  return (
    <main class="sign-in">
      <form
        class="card sign-in-card"
        onSubmit={(event) => {
          event.preventDefault();
          const isValid = KEY_CHARACTERS.test(key.trim());
          setInvalid(isValid ? undefined : new Error("An API key has no other letters than A to Z and a to z."));
          if (isValid) onSignIn(key.trim(), name.trim() || "default");
        }}
      >
        <div class="brand">
          <Mark />
          <span>Akin</span>
        </div>
        {needsKey ? (
          <>
            <h1>Sign in</h1>
            <p class="muted">This server asks for an API key. It stays in this tab until you sign out or close it.</p>
          </>
        ) : (
          <>
            <h1>Choose a catalog</h1>
            <p class="muted">
              The key of the command <code>akin console</code> does not open the catalog {catalog}. Choose another one,
              or name it in the command: <code>akin --catalog NAME console</code>.
            </p>
          </>
        )}
        <ErrorNotice error={invalid ?? error} />
        {needsKey && <TextField label="API key" type="password" value={key} onValue={setKey} required />}
        <TextField
          label="Catalog"
          value={name}
          onValue={setName}
          hint="A key for one catalog opens only that one."
        />
        <button class="button button-main">{needsKey ? "Sign in" : "Open"}</button>
      </form>
    </main>
  );
}
