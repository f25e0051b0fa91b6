import { el } from "../html.js";

export const Nodes = () => el.h1(null, "Nodes");
