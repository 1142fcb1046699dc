export async function showHelp(_words: string[], _program: { name: string }): Promise<string> { return ""; }
