import { el } from "../html.js";

export const Audit = () => el.h1(null, "Audit");
