#version 330 core

layout(location = 0) in vec3 position;
layout(location = 1) in vec3 normal;

uniform mat4 pose;
uniform mat4 projection;

out vec3 point;         // in camera coordinates, where the camera is the origin
flat out vec3 facing;   // the normal of the side that the camera sees: n . v >= 0, the same at every point of a flat face

void main() {
    vec4 p = pose * vec4(position, 1.0);
    vec3 n = mat3(pose) * normal;
    point = p.xyz;
    facing = dot(n, point) > 0.0 ? -n : n;
    gl_Position = projection * p;
}
