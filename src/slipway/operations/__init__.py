"""What a user can do: one declaration a verb, one file a noun; the keystone of all faces.

A declaration names permission, request, response and the dotted path of its body, which is one typed function in the
stage or flow that owns it. HTTP routes, OpenAPI, the client, `--json`, permission checks and the route-walk test all
come from the table. The body is imported when it is called, so that a face needs the declarations only.
"""
