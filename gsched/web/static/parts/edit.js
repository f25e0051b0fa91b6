export const Edit = () => null;
