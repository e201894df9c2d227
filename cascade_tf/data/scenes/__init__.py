"""Drawn scenes of KITTI's, CityPersons' and WIDER FACE's kinds, in the layouts of these."""
