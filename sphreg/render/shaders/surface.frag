#version 330 core

in vec3 point;
flat in vec3 facing;

out vec4 sample_;       // RGB: the normal, A: the grey value

void main() {
    float cosine = abs(dot(facing, normalize(point)));
    sample_ = vec4((facing + 1.0) / 2.0, AMBIENT + HEADLIGHT * cosine);
}
