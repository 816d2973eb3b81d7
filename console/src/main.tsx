import { render } from "preact";

import "./styles/base.css";
import "./styles/layout.css";
import "./styles/controls.css";
import "./styles/cards.css";
import "./styles/dialogs.css";
import "./styles/overview.css";
import "./styles/explore.css";
import "./styles/lists.css";
import "./styles/map.css";
import { App } from "./app";

const root = document.getElementById("app");
if (root) render(<App />, root);
